"""What the steps ask of the outside, as three Protocols.

The docstrings are the contract; tests/test_contract.py holds every adapter to it:
``aws`` (S3, DynamoDB, SQS) and ``local`` (a folder, SQLite).

An adapter turns a dependency that does not answer into ``Unavailable``, and lets
nothing of boto3 or sqlite3 through.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Protocol

from videos.model import Charge, StoredObject, Video


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """How to send one file straight to storage.

    POST: a multipart form of ``fields``, in order, then the file as the field ``file``.
    PUT: the raw bytes, with exactly ``headers``.
    """

    method: Literal["POST", "PUT"]
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime
    max_bytes: int


class Storage(Protocol):
    """Bytes under keys."""

    def upload_ticket(
        self,
        key: str,
        *,
        method: Literal["POST", "PUT"],
        content_type: str,
        max_bytes: int,
        exact_bytes: int | None,
        expires_at: datetime,
    ) -> Ticket:
        """A ticket for one object: bound to ``key``, ``content_type`` and ``expires_at``.

        POST binds the size to 1 … ``max_bytes`` too: storage itself refuses the rest.
        PUT binds it only to ``exact_bytes``, if given; S3 cannot sign a ceiling.
        """

    def download_url(self, key: str, *, content_type: str, expires_in_s: int) -> str:
        """A URL whoever holds it can GET until it expires, answered as ``content_type``; ranges work."""

    def stat(self, key: str) -> StoredObject:
        """Raises FileNotFoundError if there is no such object."""

    def fetch(self, key: str, to: Path) -> StoredObject:
        """Bring the object to the path ``to``; what is returned is what was fetched.

        Whole or not at all, even if the object is replaced meanwhile. Treat the file as
        read-only: it may share its bytes with storage. Raises FileNotFoundError.
        """

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:
        """Store ``file``. Readers see the old object or the new one, never half of one."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with ``prefix``; none is no error."""

    def delete(self, *keys: str) -> None:
        """Gone for good, every version of it. A missing key is no error."""

    def ping(self) -> None:
        """Raises Unavailable if objects cannot be reached now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some videos of many. ``after`` asks for the next page; None if this is the last."""

    videos: list[Video]
    after: str | None


class Videos(Protocol):
    """One record per video, and what was counted of them.

    ``counts`` are added up in the very write that they come with: all of it happens, or nothing.
    """

    def add(self, video: Video, counts: Mapping[str, int] = {}, charge: Charge | None = None) -> Video:
        """Write a new record and return it as stored; ``charge`` its owner in the same write.

        Raises:
            LostRace: the id is taken.
            QuotaExceeded: less is left than the charge takes. However many ask at once,
                what was granted never exceeds the quota.
        """

    def get(self, video_id: str) -> Video:
        """The record, as last written. Raises UnknownVideo."""

    def update(self, video: Video, counts: Mapping[str, int] = {}) -> Video:
        """Write ``video`` if nobody has since it was read, and return it as stored.

        Compares ``version`` and counts it up. This is the service's only lock: a step
        delivered twice loses the race here and stops, so every step is safe to repeat.

        Raises:
            LostRace: the stored version is another one, or the record is gone.
        """

    def delete(self, video_id: str, counts: Mapping[str, int] = {}) -> None:
        """Raises UnknownVideo if there is no record (any more)."""

    def counted(self, back: timedelta) -> Mapping[str, int]:
        """What was counted in the span before now, give or take a ``counters.SLOT``; reads no videos."""

    def oldest_queued(self) -> datetime | None:
        """Since when the video has been waiting that has been ``queued`` for longest; None if none is."""

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        """At most ``limit`` (1 to 100) videos of ``owner``, the highest id first, which is the newest;
        only ids below ``after``. Reads no others, never all of them. One that was just
        added may be missing for a moment."""

    def overdue(self, now: datetime, *, limit: int) -> list[Video]:
        """At most ``limit`` videos whose ``recover_at`` has passed, the longest overdue first
        as far as a sharded index can tell. Reads only unfinished videos, never all of them."""

    def ping(self) -> None:
        """Raises Unavailable if records cannot be read now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One delivery of one job. ``receives`` counts the deliveries, this one included."""

    video_id: str
    receipt: str
    receives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    waiting: int  # ready or delayed
    in_flight: int  # delivered, neither done nor given back
    dead: int  # given up after too many deliveries


class Jobs(Protocol):
    """Videos to transcode, or to clean up after: delivered at least once, in any order.

    A job that is neither ``done`` nor given back within the queue's visibility time is
    delivered again; one delivered too often goes to the dead letters.
    """

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        """Durable once this returns."""

    def receive(self) -> Job | None:
        """The next job, now hidden from others; None if there is none ready."""

    def done(self, job: Job) -> None:
        """Never deliver this one again."""

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        """Deliver it again, after ``delay_s``."""

    def bury(self, video_id: str) -> None:
        """Put a job straight among the dead letters. Durable once this returns."""

    def dead(self, *, limit: int = 10) -> list[str]:
        """Ids of videos whose jobs were given up; looking takes nothing away.

        A message that is no job of ours is there as its own text.
        """

    def redrive(self, prepare: Callable[[str], None] = lambda _: None) -> int:
        """Send every dead letter back to work, each after ``prepare`` saw its id; how many there were."""

    def stats(self) -> QueueStats:
        """Counts, which SQS calls approximate. Raises Unavailable."""
