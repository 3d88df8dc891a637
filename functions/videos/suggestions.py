"""Suggestions by who can act on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionsFor:
    """Suggestions by reader, so that an app shows people only what is for them.

    The texts name no platform: their place does. ``developer`` is whoever writes the app or runs
    the service; the others are the app's users.
    """

    ios: tuple[str, ...] = ()
    android: tuple[str, ...] = ()
    computer: tuple[str, ...] = ()
    developer: tuple[str, ...] = ()

    @classmethod
    def everyone(cls, *texts: str) -> Self:
        return cls(**dict.fromkeys(READERS, texts))


READERS = tuple(field.name for field in fields(SuggestionsFor))


def merged(several: Sequence[SuggestionsFor]) -> SuggestionsFor:
    """Each suggestion once, in the order of their first appearance."""
    return SuggestionsFor(**{reader: unique(getattr(one, reader) for one in several) for reader in READERS})


def unique(lists: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(chain.from_iterable(lists)))
