"""What a step needs: the three ports, the media tools, the spec and a clock."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from videos import policy
from videos.checking.rules import SPEC, Spec
from videos.errors import StorageFull
from videos.model import Video
from videos.ports import Jobs, KeyedAnswer, Storage, Videos
from videos.quota import UNLIMITED, Charge, Quota
from videos.telemetry import counters, logs, metrics
from videos.tools import MediaTools


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One per process, created by ``wiring``; tests create their own.

    Attributes:
        ticket_ttl: how long after its ticket an upload may start.
        link_ttl_s: how long a signed playback URL is valid.
        silence_limit: how long a video may go without a write before ``recover_videos`` checks it.
        queue_timeout: how long a job may wait before it is presumed lost, at first. A video in a
            longer backlog is re-queued, less and less often.
        max_failures: attempts that fail through no fault of the file before a video is marked failed.
        max_lost: attempts that end with their worker before a video is marked failed.
        quota: what one owner may upload per day.
        now: the current time in UTC.
        monotonic: a monotonic clock in seconds, to measure durations.
        workspace: where temporary folders are created; None for the system's default. In
            local mode on the storage's disk, so that files are hard-linked, not copied.
    """

    storage: Storage
    videos: Videos
    jobs: Jobs
    tools: MediaTools = field(default_factory=MediaTools)
    spec: Spec = SPEC
    quota: Quota = UNLIMITED
    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    ticket_ttl: timedelta = policy.TICKET_TTL
    link_ttl_s: int = policy.LINK_TTL_S
    silence_limit: timedelta = policy.SILENCE_LIMIT
    queue_timeout: timedelta = policy.QUEUE_TIMEOUT
    max_failures: int = policy.MAX_FAILURES
    max_lost: int = policy.MAX_LOST
    workspace: Path | None = None

    def register(self, video: Video, charge: Charge | None = None, keyed: KeyedAnswer | None = None) -> Video:
        """Add a video, its counts, its charge and what repeats are answered in one transaction.

        Raises LostRace, QuotaExceeded.
        """
        values = counters.of_registration()
        registered = self.videos.add(video, counters.counts(values), charge, keyed)
        logs.about(video.id)
        metrics.emit(values)
        return registered

    def record(self, before: Video, after: Video) -> Video:
        """Write the video's next version and its counts in one transaction.

        Raises LostRace if the video changed since ``before``; nothing is written or counted then.
        """
        values = counters.of_update(before, after)
        recorded = self.videos.update(after, counters.counts(values))
        metrics.emit(values)
        return recorded

    def erase(self, video_id: str) -> None:
        """Delete a record and count the deletion. Raises UnknownVideo if there is no record."""
        values = counters.of_deletion()
        self.videos.delete(video_id, counters.counts(values))
        metrics.emit(values)

    @contextmanager
    def private_folder(self) -> Iterator[Path]:
        """A temporary folder that only this user can read, removed on exit.

        Raises StorageFull if the body fails because the disk is full.
        """
        try:
            if self.workspace:
                self.workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix="video-", dir=self.workspace, ignore_cleanup_errors=True
            ) as folder:
                yield Path(folder)
        except OSError as error:
            if StorageFull.matches(error):
                raise StorageFull from error
            raise
