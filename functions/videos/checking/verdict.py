"""What becomes of a file that breaks the spec: it is rejected, or fixed if that was asked for."""

from collections.abc import Sequence
from dataclasses import replace

from videos.checking import rules
from videos.checking.advice import LABELS
from videos.checking.fixes import PRIMARIES, colors_of, plan_fixes, unfixable
from videos.checking.rules import SPEC, Spec
from videos.errors import Violation
from videos.fix import Fix, OnViolation
from videos.model import Media

OFFER = 'Or have it fixed: add "on_violation": "fix" to POST /upload.'
Verdict = tuple[tuple[Violation, ...], tuple[Fix, ...]]  # of which one at least is empty


def decide(
    media: Media, violations: Sequence[Violation], on_violation: OnViolation, spec: Spec = SPEC
) -> Verdict:
    """The violations to reject a file for, or what to fix instead.

    A file is fixed as a whole or not at all: if one violation stays, all are told, and first those that no
    fix removes. Where fixing would help and nobody asked for it, every violation suggests it.
    """
    violations = tuple(violations)
    sizes = rules.check_size(media.size_bytes, spec, OnViolation.FIX)
    wrong_size = [violation for violation in violations if violation.rule == "size"] and sizes
    can_be_fixed = not wrong_size and not unfixable(media, violations)
    if on_violation is OnViolation.FIX:
        if can_be_fixed:
            return (), plan_fixes(media, violations, spec)
        stay = {violation.rule: violation for violation in (*unfixable(media, violations), *wrong_size)}
        return (*stay.values(), *(other for other in violations if other.rule not in stay)), ()
    return tuple(map(_offered, violations)) if can_be_fixed else violations, ()


def warnings(media: Media, fixes: Sequence[Fix]) -> tuple[str, ...]:
    """What is assumed about an accepted file, or about one to be fixed, one sentence each."""
    return rules.warnings(media, PRIMARIES[colors_of(media).primaries]) if fixes else rules.warnings(media)


def _offered(violation: Violation) -> Violation:
    readers = violation.suggestions_for
    return replace(
        violation,
        suggestions=(*violation.suggestions, LABELS["developer"] + OFFER),
        suggestions_for=replace(readers, developer=(*readers.developer, OFFER)),
    )
