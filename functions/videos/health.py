"""How the service is: what it depends on, and how it is doing."""

import re
import resource
import shutil
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from videos import tools
from videos.errors import BadMedia, VideoError
from videos.service import Service

OLDEST_FFMPEG = (7, 1)  # writes fragments into a plain MP4: hybrid_fragmented
DEGRADED_FREE_BYTES = 200 * 1024**2  # a transcode of the largest file needs a tenth of that


def health(service: Service) -> dict[str, Any]:
    """Component status, performance, resources and stability; ``status`` is "ok" or "degraded"."""
    ffmpeg, ffmpeg_ms = _timed(lambda: {"version": _ffmpeg_version(service.tools.ffmpeg)})
    magic, _ = _timed(lambda: {"version": tools.magic_version()})
    storage, storage_ms = _timed(service.storage.ping)
    table, table_ms = _timed(service.videos.ping)
    queue, queue_ms = _timed(lambda: _queue(service))
    free_bytes = shutil.disk_usage(service.workspace or "/tmp").free  # noqa: S108  where Lambda lets us write
    parts = (ffmpeg, magic, storage, table, queue)
    enough_disk = free_bytes >= DEGRADED_FREE_BYTES
    dead = queue.pop("dead_jobs", None)
    return {
        "status": "ok" if enough_disk and all(part["status"] == "ok" for part in parts) else "degraded",
        "dependencies": {"ffmpeg": ffmpeg, "magic": magic, "table": table, "queue": queue},
        "storage": storage,
        "performance": {
            "ffmpeg_ms": ffmpeg_ms,
            "storage_ms": storage_ms,
            "table_ms": table_ms,
            "queue_ms": queue_ms,
        },
        "resources": {
            "peak_memory_bytes": _peak_memory_bytes(),
            "free_disk_bytes": free_bytes,
            "jobs_waiting": queue.pop("jobs_waiting", None),
            "jobs_in_flight": queue.pop("jobs_in_flight", None),
        },
        "stability": {"dead_jobs": dead},
    }


def _timed(look: Callable[[], dict[str, Any] | None]) -> tuple[dict[str, Any], float]:
    """What a look at one part found, with its status, and how many ms it took."""
    began = time.perf_counter()
    try:
        part = {"status": "ok", **(look() or {})}
    except VideoError as error:
        part = {"status": "error", "error": str(error)}
    return part, round((time.perf_counter() - began) * 1000, 2)


def _queue(service: Service) -> dict[str, Any]:
    stats = service.jobs.stats()
    return {"jobs_waiting": stats.waiting, "jobs_in_flight": stats.in_flight, "dead_jobs": stats.dead}


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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
