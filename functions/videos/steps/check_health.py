"""The status of every dependency, and how the service has performed in the last hour."""

import re
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from videos import __version__, tools
from videos.errors import BadMedia, ToolFailed, VideoError
from videos.service import Service
from videos.telemetry.counters import percentile_ms
from videos.telemetry.logs import TOOL_FAILED, logger

MIN_FFMPEG = (7, 1)  # writes fragments into a plain MP4: hybrid_fragmented
CHECK_EVERY_S = 1.0
LAST_HOUR = timedelta(hours=1)
STUCK_AFTER = timedelta(minutes=5)  # recover_videos comes every minute
MAX_STUCK = 100  # more are not counted
DEGRADED_FREE_BYTES = 200 * 1024**2  # a transcode of the largest file needs a tenth of that
Result = TypeVar("Result")


class Component(Struct, frozen=True, kw_only=True):
    """The state of one dependency."""

    status: Literal["ok", "error"]
    error: Annotated[str | UnsetType, Meta(description="Only with status error")] = UNSET
    version: Annotated[str | UnsetType, Meta(description="Of ffmpeg and magic, if they work")] = UNSET
    latency_ms: Annotated[float, Meta(description="How long the check of it took")]


class Dependencies(Struct, frozen=True, kw_only=True):
    ffmpeg: Component
    magic: Component
    table: Component
    queue: Component


class Outcomes(Struct, frozen=True, kw_only=True):
    """How many videos came to what in the last hour."""

    uploads_requested: int = 0
    accepted: int = 0
    rejected: int = 0
    fixed: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0
    deleted: int = 0


class Performance(Struct, frozen=True, kw_only=True):
    """The last hour, to within ten minutes. Times count from the stored upload, and are estimates;
    null if there was no such video. What is fixed plays later, and is not in ``to_playable_ms``.
    """

    outcomes: Outcomes
    to_playable_ms_p50: int | None
    to_playable_ms_p95: int | None
    to_fixed_ms_p50: int | None
    to_fixed_ms_p95: int | None
    to_completed_ms_p50: int | None
    to_completed_ms_p95: int | None
    rejected_by_rule: Annotated[dict[str, int], Meta(description="Rejected videos by the rule they break")]


class Resources(Struct, frozen=True, kw_only=True):
    """``status`` is error if little disk is free. Counts of jobs are null if the queue does not answer."""

    status: Literal["ok", "error"]
    error: Annotated[str | UnsetType, Meta(description="Only with status error")] = UNSET
    peak_memory_bytes: Annotated[int, Meta(description="Of this process")]
    free_disk_bytes: int
    jobs_waiting: int | None
    jobs_in_flight: int | None
    oldest_job_s: Annotated[float, Meta(description="How long the oldest job has been waiting")]
    dead_jobs: Annotated[int | None, Meta(description="In the dead-letter queue")]


class Stability(Struct, frozen=True, kw_only=True):
    """Rates are of the last hour, from 0 to 1; null if there was no such video."""

    error_rate: Annotated[float | None, Meta(description="failed / (completed + failed)")]
    rejection_rate: Annotated[float | None, Meta(description="rejected / (accepted + rejected)")]
    retries: int
    recovered: int
    stuck_videos: Annotated[
        int | None, Meta(description=f"Overdue by five minutes, at most {MAX_STUCK}; null without the table")
    ]
    dead_jobs: int | None


class Health(Struct, frozen=True, kw_only=True):
    """The answer to GET /health."""

    status: Annotated[
        Literal["ok", "degraded"], Meta(description="degraded if the status of any part is error")
    ]
    version: Annotated[str, Meta(description="Of the service")]
    dependencies: Dependencies
    storage: Component
    performance: Performance
    resources: Resources
    stability: Stability


@dataclass(frozen=True, slots=True)
class _Check(Generic[Result]):
    """The result of asking one dependency; None with an error."""

    result: Result | None
    latency_ms: float
    error: str = ""

    def component(self, version: str | None = None) -> Component:
        return Component(
            status="error" if self.error else "ok",
            error=self.error or UNSET,
            version=version or UNSET,
            latency_ms=self.latency_ms,
        )


@dataclass(frozen=True, slots=True)
class _Records:
    """What the table knows: counters of the last hour, and videos that wait or are stuck."""

    counted: Mapping[str, int]
    oldest_queued: datetime | None
    stuck_videos: int


def health(service: Service) -> Health:
    """Measure the service's health; at most once in CHECK_EVERY_S, however many clients ask."""
    global _last  # noqa: PLW0603  one service a process
    measured, at, report = _last
    if report is None or measured is not service or time.monotonic() - at >= CHECK_EVERY_S:
        report = _measure(service)
        _last = service, time.monotonic(), report
    return report


_last: tuple[Service | None, float, Health | None] = (None, 0.0, None)


def _measure(service: Service) -> Health:
    ffmpeg = _check(lambda: _ffmpeg_version(service.tools.ffmpeg))
    magic = _check(tools.magic_version)
    storage = _check(service.storage.ping)
    table = _check(lambda: _records(service))
    queue = _check(service.jobs.stats)
    free_bytes = shutil.disk_usage(service.workspace or "/tmp").free  # noqa: S108  where Lambda lets us write
    disk_is_low = free_bytes < DEGRADED_FREE_BYTES
    records = table.result
    jobs = queue.result
    counted = records.counted if records else {}
    oldest_queued = records.oldest_queued if records else None
    failing = any(check.error for check in (ffmpeg, magic, storage, table, queue))
    return Health(
        status="degraded" if disk_is_low or failing else "ok",
        version=__version__,
        dependencies=Dependencies(
            ffmpeg=ffmpeg.component(version=ffmpeg.result),
            magic=magic.component(version=magic.result),
            table=table.component(),
            queue=queue.component(),
        ),
        storage=storage.component(),
        performance=_performance(counted),
        resources=Resources(
            status="error" if disk_is_low else "ok",
            error=f"Less than {DEGRADED_FREE_BYTES:,} bytes of disk are free." if disk_is_low else UNSET,
            peak_memory_bytes=_peak_memory_bytes(),
            free_disk_bytes=free_bytes,
            jobs_waiting=jobs.waiting if jobs else None,
            jobs_in_flight=jobs.in_flight if jobs else None,
            oldest_job_s=_age_s(oldest_queued, service.now()),
            dead_jobs=jobs.dead if jobs else None,
        ),
        stability=Stability(
            error_rate=_share("failed", ("completed", "failed"), counted),
            rejection_rate=_share("rejected", ("accepted", "rejected"), counted),
            retries=counted.get("retried", 0),
            recovered=counted.get("recovered", 0),
            stuck_videos=records.stuck_videos if records else None,
            dead_jobs=jobs.dead if jobs else None,
        ),
    )


def _records(service: Service) -> _Records:
    return _Records(
        counted=service.videos.counted(LAST_HOUR),
        oldest_queued=service.videos.oldest_queued(),
        stuck_videos=len(service.videos.overdue(service.now() - STUCK_AFTER, limit=MAX_STUCK)),
    )


def _performance(counted: Mapping[str, int]) -> Performance:
    return Performance(
        outcomes=Outcomes(**{name: counted.get(name, 0) for name in Outcomes.__struct_fields__}),
        to_playable_ms_p50=percentile_ms(counted, "to_playable_ms", 0.5),
        to_playable_ms_p95=percentile_ms(counted, "to_playable_ms", 0.95),
        to_fixed_ms_p50=percentile_ms(counted, "to_fixed_ms", 0.5),
        to_fixed_ms_p95=percentile_ms(counted, "to_fixed_ms", 0.95),
        to_completed_ms_p50=percentile_ms(counted, "to_completed_ms", 0.5),
        to_completed_ms_p95=percentile_ms(counted, "to_completed_ms", 0.95),
        rejected_by_rule={
            name.removeprefix("rejected:"): number
            for name, number in sorted(counted.items())
            if name.startswith("rejected:")
        },
    )


def _share(name: str, of: tuple[str, ...], counted: Mapping[str, int]) -> float | None:
    total = sum(counted.get(one, 0) for one in of)
    return round(counted.get(name, 0) / total, 4) if total else None


def _age_s(since: datetime | None, now: datetime) -> float:
    return round((now - since).total_seconds(), 1) if since else 0.0


def _check(call: Callable[[], Result]) -> _Check[Result]:
    started = time.perf_counter()
    result, error = None, ""
    try:
        result = call()
    except VideoError as failure:
        error = str(failure)
    return _Check(result, round((time.perf_counter() - started) * 1000, 2), error)


@cache  # the version cannot change while the process runs; an error is not cached
def _ffmpeg_version(ffmpeg: str) -> str:
    try:
        words = tools.run([ffmpeg, "-version"], timeout_s=5).split()
    except (BadMedia, ToolFailed) as error:  # its text may name our paths
        logger.warning(TOOL_FAILED, error=str(error))
        raise VideoError("ffmpeg does not run.") from None
    version = words[2]
    numbers = re.match(r"n?(\d+)\.(\d+)", version)  # a build from git has none
    if numbers and (int(numbers[1]), int(numbers[2])) < MIN_FFMPEG:
        raise VideoError(f"ffmpeg {version} is too old: {'.'.join(map(str, MIN_FFMPEG))} or newer is needed.")
    return version


def _peak_memory_bytes() -> int:
    """Of this process. Linux's getrusage would also count what started it, before its exec."""
    with suppress(OSError):
        peak = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if peak:
            return int(peak[1]) * 1024
    maxrss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maxrss if sys.platform == "darwin" else maxrss * 1024
