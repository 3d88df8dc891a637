"""What a step needs: the ports, the media tools, the spec and a clock."""

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
from videos.fix import OnViolation
from videos.ports import Announcements, Deliveries, Jobs, Storage, Videos
from videos.quota import UNLIMITED, Quota
from videos.tools import MediaTools


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who receives webhooks.

    Attributes:
        secrets: one, or two while one is replaced; none in a function that only queues deliveries.
        allows_private: whether ``url`` may be plain HTTP, and lead to a private address.
    """

    url: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    allows_private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One per process, created by ``wiring``; tests create their own.

    Attributes:
        announcements: where events are told; None if nowhere.
        deliveries: the queue of webhooks; None if there is none.
        receiver: who receives them; None if nobody does.
        public_url: base of the URLs in events.
        ticket_ttl: how long after its ticket an upload may start.
        link_ttl_s: how long a signed playback URL is valid.
        silence_limit: how long a video may go without a write before ``recover_videos`` checks it.
        queue_timeout: how long a job may wait before it is presumed lost, at first. A video in a
            longer backlog is re-queued, less and less often.
        max_failures: attempts that fail through no fault of the file before a video is marked failed.
        max_lost: attempts that end with their worker before a video is marked failed.
        on_violation: what to do with a file that breaks the spec, unless the request for its ticket says.
        quota: what one owner may upload per day.
        now: the current time in UTC.
        monotonic: a monotonic clock in seconds, to measure durations.
        workspace: where temporary folders are created; None for the system's default. In
            local mode on the storage's disk, so that files are hard-linked, not copied.
    """

    storage: Storage
    videos: Videos
    jobs: Jobs
    announcements: Announcements | None = None
    deliveries: Deliveries | None = None
    receiver: Receiver | None = None
    public_url: str = ""
    tools: MediaTools = field(default_factory=MediaTools)
    spec: Spec = SPEC
    on_violation: OnViolation = OnViolation.REJECT
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
