"""Counters of what happens to videos, added up from the changes of their records.

They are kept per time slot, so that reading the last hour takes a few records and no scan.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from videos.model import State, Video

SLOT = timedelta(minutes=10)
KEPT = timedelta(days=2)  # longer than any query looks back
OUTCOMES = {
    State.QUEUED: "accepted",
    State.COMPLETED: "completed",
    State.REJECTED: "rejected",
    State.FAILED: "failed",
    State.EXPIRED: "expired",
}
# Upper bounds of the histogram buckets in ms, about a third apart: the precision of a percentile.
BOUNDS_MS = (100, 150, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000,
             30_000, 45_000, 60_000, 90_000, 120_000, 300_000, 900_000, 3_600_000)  # fmt: skip
MetricValues = Mapping[str, int]


def of_change(before: Video | None, after: Video | None) -> MetricValues:
    """The metrics of one write of a record; none if it only changes the progress.

    A name that ends in ``_ms`` is the time since the file was stored, any other a count.

    Args:
        before: None if the record was added.
        after: None if it was deleted.
    """
    if after is None:
        return {"deleted": 1}
    if before is None:
        return {"uploads_requested": 1}
    return {} if before.finished else _of_update(before, after)  # an operator's redrive is no event


def _of_update(before: Video, after: Video) -> MetricValues:
    values: dict[str, int] = {}
    if after.state is not before.state and after.state in OUTCOMES:
        values[OUTCOMES[after.state]] = 1
    if after.state is State.REJECTED:
        values |= {f"rejected:{violation.rule}": 1 for violation in after.problems}
    if after.setbacks > before.setbacks and not after.finished:
        values["retried"] = 1
    if after.rounds > before.rounds:
        values["recovered"] = 1
    if after.source:
        values |= {"fixed": 1} if after.fixes and after.playable > before.playable else {}
        for name, old, new in (
            ("to_fixed_ms" if after.fixes else "to_playable_ms", before.playable_at, after.playable_at),
            ("to_completed_ms", before.completed_at, after.completed_at),
        ):
            if new and not old:
                values[name] = round((new - after.source.stored_at) / timedelta(milliseconds=1))
    return values


def counts(values: MetricValues) -> dict[str, int]:
    """The counters to increment: a duration counts as 1 in its histogram bucket."""
    return dict(
        (f"{name}:{_bucket(value)}", 1) if name.endswith("_ms") else (name, value)
        for name, value in values.items()
    )


def slot(at: datetime) -> str:
    """The name of the slot that contains ``at``: its start time."""
    seconds = at.timestamp()
    return datetime.fromtimestamp(seconds - seconds % SLOT.total_seconds(), UTC).isoformat()


def slots(now: datetime, back: timedelta) -> list[str]:
    """Every slot that overlaps the last ``back`` before ``now``, latest first."""
    return [slot(now - SLOT * number) for number in range(int(back / SLOT) + 1)]


def percentile_ms(counted: MetricValues, name: str, share: float) -> int | None:
    """An estimate of the percentile ``share`` (0 to 1) from the buckets; None without data."""
    numbers = [counted.get(f"{name}:{bound}", 0) for bound in BOUNDS_MS]
    rank, passed = sum(numbers) * share, 0
    for (lower, upper), number in zip(pairwise((0, *BOUNDS_MS)), numbers, strict=True):
        if number and passed + number >= rank:
            return round(lower + (upper - lower) * (rank - passed) / number)
        passed += number
    return None


def _bucket(took_ms: int) -> int:
    return BOUNDS_MS[min(bisect_left(BOUNDS_MS, took_ms), len(BOUNDS_MS) - 1)]
