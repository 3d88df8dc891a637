"""How the service is: what it depends on, and how it is doing."""

import re
import resource
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from videos import tools
from videos.counters import Figures, percentile_ms
from videos.errors import BadMedia, VideoError
from videos.service import Service

OLDEST_FFMPEG = (7, 1)  # writes fragments into a plain MP4: hybrid_fragmented
LOOK_EVERY_S = 1.0
LAST_HOUR = timedelta(hours=1)
OUTCOMES = ("uploads_requested", "accepted", "refused", "completed", "failed", "expired", "deleted")
STUCK_AFTER = timedelta(minutes=5)  # recover_videos comes every minute
MOST_STUCK = 100  # more are not counted
DEGRADED_FREE_BYTES = 200 * 1024**2  # a transcode of the largest file needs a tenth of that


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at one part found, and how long it took."""

    found: Any
    ms: float
    error: str = ""

    def part(self, **facts: Any) -> dict[str, Any]:
        state = {"status": "error", "error": self.error} if self.error else {"status": "ok", **facts}
        return {**state, "latency_ms": self.ms}


def health(service: Service) -> dict[str, Any]:
    """Component status, performance, resources and stability; ``status`` is "ok" or "degraded".

    What costs a request is looked at once in LOOK_EVERY_S, however many ask.
    """
    global _last  # noqa: PLW0603  one service a process
    whose, at, report = _last
    if whose is not service or time.monotonic() - at >= LOOK_EVERY_S:
        report = _report(service)
        _last = service, time.monotonic(), report
    return report


_last: tuple[Service | None, float, dict[str, Any]] = (None, 0.0, {})


def _report(service: Service) -> dict[str, Any]:
    ffmpeg = _look(lambda: _ffmpeg_version(service.tools.ffmpeg))
    magic = _look(tools.magic_version)
    storage = _look(service.storage.ping)
    table = _look(lambda: _records(service))
    queue = _look(service.jobs.stats)
    free_bytes = shutil.disk_usage(service.workspace or "/tmp").free  # noqa: S108  where Lambda lets us write
    parts = (ffmpeg, magic, storage, table, queue)
    disk = {"status": "ok"}
    if free_bytes < DEGRADED_FREE_BYTES:
        disk = {"status": "error", "error": f"Less than {DEGRADED_FREE_BYTES:,} bytes of disk are free."}
    counted: Figures = {}
    oldest_queued: datetime | None = None
    overdue: int | None = None
    if table.found:
        counted, oldest_queued, overdue = table.found
    jobs = queue.found
    return {
        "status": "degraded" if "error" in disk or any(look.error for look in parts) else "ok",
        "dependencies": {
            "ffmpeg": ffmpeg.part(version=ffmpeg.found),
            "magic": magic.part(version=magic.found),
            "table": table.part(),
            "queue": queue.part(),
        },
        "storage": storage.part(),
        "performance": _performance(counted),
        "resources": {
            **disk,
            "peak_memory_bytes": _peak_memory_bytes(),
            "free_disk_bytes": free_bytes,
            "jobs_waiting": jobs and jobs.waiting,
            "jobs_in_flight": jobs and jobs.in_flight,
            "oldest_job_s": _age_s(oldest_queued, service.now()),
            "dead_jobs": jobs and jobs.dead,
        },
        "stability": {
            "error_rate": _share(counted.get("failed", 0), counted, "completed", "failed"),
            "refusal_rate": _share(counted.get("refused", 0), counted, "accepted", "refused"),
            "retries": counted.get("retried", 0),
            "recovered": counted.get("recovered", 0),
            "stuck_videos": overdue,
            "dead_jobs": jobs and jobs.dead,
        },
    }


def _records(service: Service) -> tuple[Figures, datetime | None, int]:
    """What was counted, since when the oldest job has been waiting, how many videos nobody looks after."""
    late = service.now() - STUCK_AFTER
    return (
        service.videos.counted(LAST_HOUR),
        service.videos.oldest_queued(),
        len(service.videos.overdue(late, limit=MOST_STUCK)),
    )


def _performance(counted: Figures) -> dict[str, Any]:
    """Of the last hour, give or take a slot; the times are from the upload, and estimates."""
    return {
        "outcomes": {name: counted.get(name, 0) for name in OUTCOMES},
        **{
            f"{name}_p{share:g}": percentile_ms(counted, name, share / 100)
            for name in ("to_playable_ms", "to_completed_ms")
            for share in (50, 95)
        },
        "refused_by_rule": {
            name.partition(":")[2]: number
            for name, number in sorted(counted.items())
            if name.startswith("refused:")
        },
    }


def _share(number: int, counted: Figures, *of: str) -> float | None:
    total = sum(counted.get(name, 0) for name in of)
    return round(number / total, 4) if total else None


def _age_s(since: datetime | None, now: datetime) -> float:
    return round((now - since).total_seconds(), 1) if since else 0.0


def _look(look: Callable[[], Any]) -> _Look:
    began = time.perf_counter()
    found, error = None, ""
    try:
        found = look()
    except VideoError as failure:
        error = str(failure)
    return _Look(found, round((time.perf_counter() - began) * 1000, 2), error)


@cache  # it does not change while we run; what raised is tried again
def _ffmpeg_version(ffmpeg: str) -> str:
    try:
        words = tools.run([ffmpeg, "-version"], timeout_s=5).split()
    except BadMedia as error:
        raise VideoError(str(error)) from None
    version = words[2]
    numbers = re.match(r"n?(\d+)\.(\d+)", version)  # a build from git has none
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_FFMPEG:
        raise VideoError(
            f"ffmpeg {version} is too old: {'.'.join(map(str, OLDEST_FFMPEG))} or newer is needed."
        )
    return version


def _peak_memory_bytes() -> int:
    """Of this process. Linux's getrusage would also count what started it, before its exec."""
    with suppress(OSError):
        told = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        if told:
            return int(told[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
