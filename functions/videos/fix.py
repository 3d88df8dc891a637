"""What is changed of a file that breaks the spec, so that it keeps it; for uploaders who asked for that."""

from dataclasses import dataclass
from enum import StrEnum


class OnViolation(StrEnum):
    """What becomes of a file that breaks the spec."""

    REJECT = "reject"
    FIX = "fix"  # it is changed to keep the spec, if it can be


class Fit(StrEnum):
    """How a picture of another shape comes into the frame."""

    CONTAIN = "contain"  # all of it, with black bars
    COVER = "cover"  # it fills the frame, and what is too wide or too high is cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """One change, in plain words.

    Attributes:
        rule: the rule that the file breaks, by the name that violations have.
        found: what the file has, such as ``"59.94 fps"``.
        made: what it is changed to, such as ``"30 fps"``.
    """

    rule: str
    found: str
    made: str
