"""Everything a step works with: the three ports, the media tools, the spec and a clock."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from videos import counters, logs, metrics
from videos.errors import StorageFull
from videos.model import UNLIMITED, Charge, Quota, Video
from videos.ports import Jobs, Storage, Videos
from videos.rules import SPEC, Spec
from videos.tools import MediaTools


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One per process, made by ``wiring``; tests make their own.

    Attributes:
        ticket_lasts: how long an upload may take to begin; phones are on slow networks.
        links_last_s: how long a signed playback URL is good for.
        look_again: how long a video may be silent before ``recover_videos`` looks at it.
        queue_patience: how long a job may wait in the queue before it is taken for lost; longer than
            any backlog, or every waiting video would get a job after the other.
        most_attempts: how often a transcode is begun before the video has failed.
        most_rounds: how often ``recover_videos`` sets a video going before it has failed.
        quota: what one owner may upload in a day.
        workspace: where temporary folders are made; None for the system's place. In local
            mode on the disk of the storage, so that files are linked instead of copied.
    """

    storage: Storage
    videos: Videos
    jobs: Jobs
    tools: MediaTools = field(default_factory=MediaTools)
    spec: Spec = SPEC
    quota: Quota = UNLIMITED
    now: Callable[[], datetime] = utc_now
    ticket_lasts: timedelta = timedelta(hours=1)
    links_last_s: int = 3600
    look_again: timedelta = timedelta(minutes=2)
    queue_patience: timedelta = timedelta(minutes=30)
    most_attempts: int = 5
    most_rounds: int = 12
    workspace: Path | None = None

    def register(self, video: Video, charge: Charge | None = None) -> Video:
        """Write a new video, count it and charge its owner, or none of it. Raises LostRace, QuotaExceeded."""
        figures = counters.of_new()
        registered = self.videos.add(video, counters.counts(figures), charge)
        logs.about(video.id)
        metrics.emit(figures)
        return registered

    def record(self, before: Video, after: Video) -> Video:
        """Write what became of a video, unless somebody has since, and count what happened.

        Raises LostRace; then nothing was counted either.
        """
        figures = counters.of_step(before, after)
        recorded = self.videos.update(after, counters.counts(figures))
        metrics.emit(figures)
        return recorded

    def erase(self, video_id: str) -> None:
        """Remove a record, and count that. Raises UnknownVideo if there is none any more."""
        figures = counters.of_end()
        self.videos.delete(video_id, counters.counts(figures))
        metrics.emit(figures)

    @contextmanager
    def private_folder(self) -> Iterator[Path]:
        """A temporary folder that only we can read, removed with all that is in it.

        Raises StorageFull in place of an OSError that says so, whatever is done in it.
        """
        try:
            if self.workspace:
                self.workspace.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(
                prefix="video-", dir=self.workspace, ignore_cleanup_errors=True
            ) as folder:
                yield Path(folder)
        except OSError as error:
            if StorageFull.is_meant(error):
                raise StorageFull from error
            raise
