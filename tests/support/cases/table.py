"""What a case is, and what is right for it."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from support.cases.mp4_file import Movie

Maker = Callable[[Path], Movie]  # of a folder for what it is made of
FRAMES_A_SECOND = 30
LADDER = ("720p", "540p", "360p")


@dataclass(frozen=True)
class Tone:
    """What is heard from one moment to another, in seconds; 0 Hz is silence."""

    begin_s: float
    end_s: float
    hz: int


@dataclass(frozen=True, kw_only=True)
class Right:
    """What becomes of a file. It completes unless ``rejected_by`` names rules.

    Attributes:
        rejected_by: it is rejected at the check, by at least one of these and by no other.
        or_rejected_by: it may be rejected by these as well; as it is, it is right either way.
        numbers: what the pictures show (``parts.numbered``), in order, in every rendition.
        optional: which of these may be missing, or a picture late: they are shown for no time, or a
            decoder may drop them.
        times_s: when each is shown; None for one every thirtieth of a second.
        tones: what is heard, in every rendition; () for a silent video.
        hidden_hz: a tone that its maker cut off: heard nowhere, not even behind an edit list.
        luma: the mean brightness of the picture at a moment, in limited range.
        any_way_up: it may be turned or mirrored, in the same way in all renditions and the poster.
        was_interlaced: the source shows combs; no rendition does.
    """

    rejected_by: tuple[str, ...] = ()
    or_rejected_by: tuple[str, ...] = ()
    numbers: Sequence[int] | None = None
    optional: frozenset[int] = frozenset()
    times_s: Sequence[float] | None = None
    tones: tuple[Tone, ...] = ()
    hidden_hz: int = 0
    luma: Mapping[float, float] = field(default_factory=dict)
    any_way_up: bool = False
    was_interlaced: bool = False

    @property
    def completed(self) -> bool:
        return not self.rejected_by

    @property
    def picture_s(self) -> float:
        """Until its last picture has been shown."""
        times_s = self.times_s or [place / FRAMES_A_SECOND for place in range(len(self.numbers or ()))]
        return times_s[-1] + 1 / FRAMES_A_SECOND

    @property
    def sound_s(self) -> float:
        return max((tone.end_s for tone in self.tones), default=0.0)


@dataclass(frozen=True)
class Case:
    """``sample`` is one of the twenty that the product got wrong first; others are their siblings."""

    name: str
    kind: str
    maker: Maker
    right: Right
    sample: bool

    @property
    def about(self) -> str:
        return (self.maker.__doc__ or "").strip()

    def make(self, folder: Path) -> Path:
        """The file, in a folder where its parts are shared with other cases and other processes."""
        path = folder / f"{self.name}.mp4"
        return self.maker(folder).save(folder / f"{self.name}-{os.getpid()}.mp4").rename(path)


CASES: dict[str, Case] = {}


def case(kind: str, right: Right, *, sample: bool = False) -> Callable[[Maker], Maker]:
    """Put a maker into the table, under its own name."""

    def add(make: Maker) -> Maker:
        name = make.__name__
        assert name not in CASES, name
        CASES[name] = Case(name, kind, make, right, sample)
        return make

    return add


def rejected(*rules: str) -> Right:
    return Right(rejected_by=rules)


def tones_of(*spans: tuple[float, float], at_s: float = 0) -> tuple[Tone, ...]:
    """What is heard of ``parts.tones`` where these spans of it follow each other, from ``at_s`` on.

    >>> tones_of((1, 3))
    (Tone(begin_s=0, end_s=1, hz=600), Tone(begin_s=1, end_s=2, hz=800))
    """
    heard = [Tone(0, at_s, 0)] if at_s else []
    for begin, end in spans:
        for second in range(int(begin), ceil(end)):
            lasting_s = min(second + 1, end) - max(second, begin)
            heard.append(Tone(at_s, at_s + lasting_s, tone_hz(second)))
            at_s += lasting_s
    return tuple(heard)


def tone_hz(second: float) -> int:
    """The tone of a second of ``parts.tones``, so that one hears which it is."""
    return 400 + 200 * int(second)


def seconds_of(*spans: tuple[float, float]) -> list[int]:
    """The numbers of the pictures of these spans of time.

    >>> seconds_of((0, 0.1), (5, 5.1))
    [0, 1, 2, 150, 151, 152]
    """
    return [
        number
        for begin, end in spans
        for number in range(round(begin * FRAMES_A_SECOND), round(end * FRAMES_A_SECOND))
    ]


def without(numbers: Iterable[int], missing: Iterable[int]) -> list[int]:
    left_out = set(missing)
    return [number for number in numbers if number not in left_out]
