"""The interfaces to storage, database, queues and event bus, as five Protocols.

The docstrings are the contract; tests/test_contract.py checks it on every adapter:
``aws`` (S3, DynamoDB, SQS, EventBridge) and ``local`` (a folder, SQLite).

Adapters raise ``Unavailable`` when a dependency does not answer. No boto3 or sqlite3
error leaves an adapter.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from videos.model import StoredObject, Video
from videos.policy import KEYED_TTL
from videos.quota import Charge

# Among the headers of a PUT: a repeat is answered 412, and replaces nothing.
ONCE = {"If-None-Match": "*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """How to upload one file directly to storage.

    POST: a multipart form of ``fields``, in order, then the file as the field ``file``.
    PUT: the raw bytes, with exactly ``headers``. An answer of 412 says that the file is there already.
    Every HTTP client sends Content-Length by itself, so it is never among them, even where it is signed.
    ``url`` is absolute, or the path of storage that has the address of the API.
    """

    method: Literal["POST", "PUT"]
    url: str
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedAnswer:
    """What a request with an ``Idempotency-Key`` was answered, for whoever repeats it.

    Attributes:
        key: a hash of the key and its owner.
        request: a hash of the request, which a repeat must have too.
    """

    key: str
    request: str
    video_id: str
    ticket: Ticket
    answered_at: datetime

    @property
    def expires_at(self) -> datetime:
        return self.answered_at + KEYED_TTL


class Storage(Protocol):
    """Objects by key."""

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
        """A ticket for one object, bound to ``key``, ``content_type`` and ``expires_at``.

        POST also binds the size to 1 … ``max_bytes``; storage rejects any other.
        PUT binds only ``exact_bytes``, if given, since S3 cannot sign a size limit; and it
        never replaces an object, since S3 knows that condition of PUT only.
        """

    def download_url(
        self, key: str, *, content_type: str, expires_in_s: int, method: Literal["GET", "HEAD"] = "GET"
    ) -> str:
        """A signed URL that anyone can GET until it expires; served as ``content_type``, with ranges.

        It is good for ``method`` alone. Like a ticket's, it may be a path.
        """

    def stat(self, key: str) -> StoredObject:
        """Raises FileNotFoundError if there is no such object."""

    def fetch(self, key: str, to: Path) -> StoredObject:
        """Download the object to ``to`` and return what was downloaded.

        Atomic, even if the object is replaced meanwhile. Treat the file as read-only: it
        may be a hard link into storage. Raises FileNotFoundError.
        """

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:
        """Store ``file`` atomically: readers see either the old object or the new one."""

    def copy(self, source: StoredObject, key: str, *, content_type: str) -> StoredObject:
        """Copy an object atomically. Raises FileNotFoundError if it was deleted or replaced."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key that starts with ``prefix``; possibly none."""

    def delete(self, *keys: str) -> None:
        """Delete the objects, with every version. Missing keys are ignored."""

    def ping(self) -> None:
        """Raises Unavailable if storage cannot be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of videos. ``after`` is the cursor of the next page; None on the last."""

    videos: list[Video]
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write of a record.

    Attributes:
        before: the record until then; None if the write added it.
        after: the record from then on; None if the write deleted it.
        at: when it was written, by the store's clock.
    """

    before: Video | None
    after: Video | None
    at: datetime

    @property
    def video(self) -> Video:
        """The record as last known."""
        known = self.after or self.before
        assert known
        return known

    @property
    def name(self) -> str:
        """Unique, and the same however often the change is delivered."""
        version = self.after.version if self.after else self.video.version + 1
        return f"{self.video.id}#{version}"


class Videos(Protocol):
    """One record per video, and counters.

    Every write of a record is also delivered to ``publish_changes``: at least once, in order per video.
    """

    def add(self, video: Video, charge: Charge | None = None, keyed: KeyedAnswer | None = None) -> Video:
        """Write a new record and return it as stored; apply ``charge`` and keep ``keyed`` in the same
        transaction.

        Raises:
            LostRace: the id exists, or an answer with the same key that has not expired.
            QuotaExceeded: the charge does not fit. Concurrent calls never exceed the quota
                together.
        """

    def answered(self, key: str, now: datetime) -> KeyedAnswer | None:
        """The answer that was kept under ``key``, unless it has expired; never a stale read."""

    def get(self, video_id: str) -> Video:
        """The latest version of the record. Raises UnknownVideo."""

    def update(self, video: Video) -> Video:
        """Write ``video`` unless it changed since it was read, and return it as stored.

        Compares and increments ``version``. This is the service's only lock: the duplicate
        of a step loses the race here and stops, so every step is idempotent.

        Raises:
            LostRace: the stored version differs, or the record was deleted.
        """

    def delete(self, video_id: str) -> None:
        """Delete the record. Raises UnknownVideo if there is none."""

    def change_of(self, record: Mapping[str, Any]) -> Change | None:
        """Read one record of what ``publish_changes`` is given.

        None if there is nothing to tell: it is about another item than a video, or the store
        itself dropped a record whose time was over.
        """

    def count(self, counted: Sequence[tuple[Change, Mapping[str, int]]]) -> list[Change]:
        """Count each change in the counters of its time, once; returns those that were counted now."""

    def counted(self, back: timedelta) -> Mapping[str, int]:
        """The counters of the last ``back``, rounded to ``counters.SLOT``; reads no videos."""

    def oldest_queued(self) -> datetime | None:
        """When the longest-waiting ``queued`` video was queued; None if none is."""

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        """At most ``limit`` (1 to 100) videos of ``owner`` with ids below ``after``, highest id
        (newest) first. An index query, never a scan; eventually consistent: a video that was
        just added may be missing. No adapter but the local one finds the videos of nobody (``""``)."""

    def overdue(self, now: datetime, *, limit: int) -> list[Video]:
        """At most ``limit`` videos whose ``recover_at`` has passed, longest overdue first as far
        as a sharded index allows. Reads only these, never the whole table."""

    def ping(self) -> None:
        """Raises Unavailable if records cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One delivery of a job. ``receives`` is the number of deliveries, including this one."""

    video_id: str
    receipt: str
    receives: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    waiting: int  # ready or delayed
    in_flight: int  # delivered, but neither done nor given back
    dead: int  # in the dead-letter queue


class Jobs(Protocol):
    """A queue of videos to transcode or clean up. Delivers at least once, in any order.

    Whoever delivers the jobs (Lambda's event source, or the local server's workers) deletes those that
    succeed. Any other is redelivered after the visibility timeout, and after too many deliveries moves to
    the dead-letter queue.
    """

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        """Add a job. Durable once this returns."""

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        """Redeliver the job after ``delay_s``."""

    def bury(self, video_id: str) -> None:
        """Add a job directly to the dead-letter queue. Durable once this returns."""

    def dead(self, *, limit: int = 10) -> list[str]:
        """Video ids in the dead-letter queue; the messages stay there.

        A malformed message is returned as its raw text.
        """

    def redrive(self, prepare: Callable[[str], None] = lambda _: None) -> int:
        """Re-queue every dead letter, calling ``prepare`` with its id first; returns how many."""

    def stats(self) -> QueueStats:
        """Message counts; approximate on SQS. Raises Unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a video, as everybody who wants to know is told of it.

    ``telling.events`` makes them, of changes.

    Attributes:
        id: the same however often the event is told.
        type: such as ``video.playable``.
        version: that of the record; events of one video happened in its order.
        owner: who may know of it; "" if the video has no owner.
        body: the JSON that is told, the same on every way.
    """

    id: str
    type: str
    video_id: str
    version: int
    owner: str
    at: datetime
    body: str


class Announcements(Protocol):
    """Where events are told to whoever listens."""

    def announce(self, events: Sequence[Event]) -> None:
        """Tell the events, those of one video in the order given. Durable once this returns.

        Raises:
            Unavailable: some were told, others not; announce all of them again, in the same order.
                Nobody was told of an event before an earlier one of the same video.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An event on its way to the receiver of webhooks: the JSON of this is the message in a queue.

    Attributes:
        attempts: how many have failed so far.
        reason: why the last one failed; "" before.
    """

    event: Event
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of a letter, as a ``Job`` is one of a job."""

    letter: Letter
    receipt: str
    receives: int

    @property
    def attempt(self) -> int:
        """Which attempt at the event this is, from 1. A first one that came to no end is made again."""
        return self.letter.attempts + (self.receives if self.letter.attempts else 1)


class Deliveries(Protocol):
    """Events on their way to the receiver of webhooks. Delivers each at least once, as ``Jobs`` does.

    An event is delivered for the first time once the earlier ones of its video were attempted, whatever
    came of that. Retries come whenever they come.
    """

    def put(self, event: Event) -> None:
        """Add an event, behind the earlier ones of its video. Durable once this returns."""

    def retry(self, delivery: Delivery, reason: str, *, delay_s: int) -> bool:
        """Deliver the letter again after ``delay_s``; the later events of its video do not wait for that.

        Returns:
            Whether this message is done with. If not, it must be reported as failed.
        """

    def bury(self, letter: Letter) -> None:
        """Add a letter to the dead-letter queue. Durable once this returns."""

    def dead(self, *, limit: int = 10) -> list[Letter | str]:
        """Letters in the dead-letter queue; they stay there. A malformed one is its raw text."""

    def redrive(self) -> int:
        """Deliver dead letters again, as if never attempted; returns how many. Malformed ones stay."""
