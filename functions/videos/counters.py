"""What happens to videos, counted in the same write that makes it happen, so that the books balance.

A count belongs to a slot of time, so that the last hour is a handful of records and never a scan.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from videos.model import State, Video

SLOT = timedelta(minutes=10)
KEPT = timedelta(days=2)  # longer than anybody looks back
OUTCOMES = {
    State.QUEUED: "accepted",
    State.COMPLETED: "completed",
    State.REJECTED: "refused",
    State.FAILED: "failed",
    State.EXPIRED: "expired",
}
# Upper bounds in ms, each some third above the one before: so exact is a percentile.
BOUNDS_MS = (100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000,
             30_000, 45_000, 60_000, 90_000, 120_000, 300_000, 900_000, 3_600_000)  # fmt: skip


Figures = Mapping[str, int]


def of_new() -> Figures:
    """What there is to tell of a video that is registered."""
    return {"uploads_requested": 1}


def of_end() -> Figures:
    """What there is to tell of a video that is deleted."""
    return {"deleted": 1}


def of_step(before: Video, after: Video) -> Figures:
    """What there is to tell of a step; nothing, if it only says how far the video is.

    A name that ends in ``_ms`` is how long it took since the file was stored, any other a count.
    """
    figures: dict[str, int] = {}
    if after.state is not before.state and after.state in OUTCOMES:
        figures[OUTCOMES[after.state]] = 1
    if after.state is State.REJECTED:
        figures |= {f"refused:{problem.rule}": 1 for problem in after.problems}
    if after.attempts > before.attempts > 0:
        figures["retried"] = 1
    if after.rounds > before.rounds:
        figures["recovered"] = 1
    if after.source:
        for name, was, now in (
            ("to_playable_ms", before.playable_at, after.playable_at),
            ("to_completed_ms", before.completed_at, after.completed_at),
        ):
            if now and not was:
                figures[name] = round((now - after.source.stored_at) / timedelta(milliseconds=1))
    return figures


def counts(figures: Figures) -> dict[str, int]:
    """``figures`` as numbers to add up: a time becomes one in the class of those that took as long."""
    return dict(
        (f"{name}:{_class(value)}", 1) if name.endswith("_ms") else (name, value)
        for name, value in figures.items()
    )


def slot(at: datetime) -> str:
    """The name of the slot that ``at`` lies in: when it began."""
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % SLOT.total_seconds(), UTC).isoformat()


def slots(now: datetime, back: timedelta) -> list[str]:
    """Every slot that reaches into the span before ``now``, the latest first."""
    return [slot(now - SLOT * number) for number in range(int(back / SLOT) + 1)]


def percentile_ms(counted: Figures, name: str, share: float) -> int | None:
    """An estimate of how long ``share`` of the videos took at most; None if there were none."""
    numbers = [counted.get(f"{name}:{bound}", 0) for bound in BOUNDS_MS]
    wanted, passed = sum(numbers) * share, 0
    for (lower, upper), number in zip(pairwise((0, *BOUNDS_MS)), numbers, strict=True):
        if number and passed + number >= wanted:
            return round(lower + (upper - lower) * (wanted - passed) / number)
        passed += number
    return None


def _class(took_ms: int) -> int:
    return BOUNDS_MS[min(bisect_left(BOUNDS_MS, took_ms), len(BOUNDS_MS) - 1)]
