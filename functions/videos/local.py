"""The ports on a folder and SQLite: the whole service on a laptop, and the tests' stand-in for AWS.

    objects/<key>   one file per object
    incoming/       objects on their way in; a crash may leave some behind

Signed URLs and upload forms carry S3's conditions and are refused with S3's codes, so that an
app which works here works there. ``local_server`` answers at those URLs.
"""

import hmac
import json
import os
import shutil
import sqlite3
import sys
import time
import weakref
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from secrets import token_bytes
from stat import S_ISREG
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self
from urllib.parse import quote, urlencode
from uuid import uuid4

import msgspec

from videos import counters
from videos.errors import LostRace, StorageFull, Unavailable, UnknownVideo, VideoError
from videos.model import Charge, State, StoredObject, Video
from videos.ports import Job, Page, QueueStats, Ticket

LARGEST_PUT_BYTES = 5 * 1024**3  # S3 takes no more in one PUT
LARGEST_FORM_BYTES = 64 * 1024  # a form without its file


class Denied(Exception):
    """A request storage refuses: S3's own ``code``, and a sentence that says which condition failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Permit(NamedTuple):
    """What a verified upload may write: this object, of a size in this range, ends included."""

    key: str
    least_bytes: int
    most_bytes: int


def secret(folder: Path) -> bytes:
    """What signs the URLs of this folder: made on first use, kept so that they outlive a restart."""
    path = folder / "secret"
    with _answers():
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            made = folder / f"secret-{uuid4().hex}"
            made.touch(mode=0o600)
            made.write_bytes(token_bytes(32))
            made.rename(path)
        return path.read_bytes()


class FolderStorage:
    """Objects as files. ``secret`` signs the URLs; whoever has it can write tickets."""

    def __init__(self, folder: Path, base_url: str, secret: bytes) -> None:
        self._objects = folder / "objects"
        self._incoming = folder / "incoming"
        self._url = f"{base_url.rstrip('/')}/storage"
        self._secret = secret

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
        if method == "POST":
            return Ticket(
                method="POST",
                url=f"{self._url}/",  # S3's ends so too, and Uppy looks
                fields=self._post_fields(key, content_type, max_bytes, expires_at),
                expires_at=expires_at,
                max_bytes=max_bytes,
            )
        headers = {"Content-Type": content_type}
        if exact_bytes is not None:
            headers["Content-Length"] = str(exact_bytes)
        url = self._signed_url("PUT", key, headers, expires_at.timestamp())
        return Ticket(method="PUT", url=url, headers=headers, expires_at=expires_at, max_bytes=max_bytes)

    def download_url(self, key: str, *, content_type: str, expires_in_s: int) -> str:
        return self._signed_url("GET", key, {"Content-Type": content_type}, time.time() + expires_in_s)

    def verify_post(self, fields: Mapping[str, str], *, announced_bytes: int = 0) -> Permit:
        """What an upload form with these ``fields``, without the file, may write.

        Args:
            announced_bytes: the form's Content-Length, if it has one.

        Raises:
            Denied: the policy is not ours, is over, or says something else than the fields;
                or so many bytes are too many already.
        """
        given = {name.lower(): value for name, value in fields.items()}
        policy = given.pop("policy", "")
        self._verify(given.pop("x-amz-signature", ""), "POST", policy)
        terms = json.loads(b64decode(policy))
        if datetime.now(UTC) > datetime.fromisoformat(terms["expiration"]):
            raise Denied(
                "AccessDenied", f"Invalid according to Policy: Policy expired at {terms['expiration']}."
            )
        *fixed, (_, least_bytes, most_bytes) = terms["conditions"]
        for name, signed in ((name, value) for condition in fixed for name, value in condition.items()):
            if (value := given.pop(name.lower(), None)) != signed:
                raise Denied(
                    "AccessDenied",
                    f"Invalid according to Policy: field {name} is {value!r}; the ticket says {signed!r}.",
                )
        if extra := [name for name in given if not name.startswith("x-ignore-")]:
            raise Denied(
                "AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)}."
            )
        if announced_bytes > most_bytes + LARGEST_FORM_BYTES:
            raise _too_large(most_bytes)
        return Permit(terms["conditions"][0]["key"], least_bytes, most_bytes)

    def verify_put(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Permit:
        """What a PUT to this URL may write. ``headers`` has lower-case names.

        Raises:
            Denied: the URL is not ours or is over, or a header is not the one it was signed for.
        """
        fixed = self._verify_url("PUT", key, query)
        if "content-length" not in headers:
            raise Denied(
                "MissingContentLength", "You must provide the Content-Length HTTP header: no chunks."
            )
        for name, signed in fixed.items():
            if (value := headers.get(name.lower())) != signed:
                raise Denied(
                    "SignatureDoesNotMatch",
                    f"The header {name} is {value!r}; this URL was signed for {signed!r}. "
                    "Send exactly the headers of the ticket.",
                )
        size_bytes = int(headers["content-length"])
        if size_bytes > LARGEST_PUT_BYTES:
            raise _too_large(LARGEST_PUT_BYTES)
        return Permit(key, size_bytes, size_bytes)

    def verify_get(self, key: str, query: Mapping[str, str]) -> str:
        """The content type to answer this URL with. Raises Denied if it is not ours, or is over."""
        return self._verify_url("GET", key, query)["Content-Type"]

    def upload(self, permit: Permit) -> "Upload":
        """Take in an object piece by piece, as ``Upload`` says."""
        return Upload(self._incoming / uuid4().hex, self.path(permit.key), permit)

    def stat(self, key: str) -> StoredObject:
        with _answers(missing=key):
            return _stored(key, self.path(key).stat())

    def fetch(self, key: str, to: Path) -> StoredObject:
        path = self.path(key)
        part = to.with_name(f"{to.name}.part")
        with _answers(missing=key):
            try:
                part.hardlink_to(path)  # what replaces the object is another file: this one stays
                found = part.stat()
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or one without hard links
                with path.open("rb") as source, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
                    found = os.fstat(source.fileno())
            to.unlink(missing_ok=True)  # a rename onto another link to the same file does nothing
            part.rename(to)
            return _stored(key, found)

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:  # noqa: ARG002
        """The type is not kept: every download URL names its own."""
        with file.open("rb") as source, self.upload(Permit(key, 0, sys.maxsize)) as upload:
            shutil.copyfileobj(source, upload, 1024**2)
            return upload.commit()

    def keys(self, prefix: str) -> Iterator[str]:
        folder, _, _ = prefix.rpartition("/")
        start = self.path(folder) if folder else self._objects
        found = [Path(parent, name) for parent, _, names in os.walk(start) for name in names]
        keys = sorted(path.relative_to(self._objects).as_posix() for path in found)
        return (key for key in keys if key.startswith(prefix))

    def delete(self, *keys: str) -> None:
        for key in keys:
            path = self.path(key)
            with _answers(), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
            self._remove_empty(path.parent)

    def ping(self) -> None:
        with self.upload(Permit("health", 0, 0)) as upload:
            upload.commit()
        with _answers():
            self.path("health").read_bytes()

    def _remove_empty(self, folder: Path) -> None:
        """Folders are no objects: the last one takes its own along."""
        with suppress(OSError):  # not empty, or gone already
            while folder != self._objects:
                folder.rmdir()
                folder = folder.parent

    def path(self, key: str) -> Path:
        """The file of ``key``. Raises ValueError if that would not be one below our folder."""
        if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
            raise ValueError(f"{key!r} is no key.")
        return self._objects / key

    def _post_fields(
        self, key: str, content_type: str, max_bytes: int, expires_at: datetime
    ) -> dict[str, str]:
        fixed = {"key": key, "Content-Type": content_type}
        terms = {
            "expiration": expires_at.astimezone(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "conditions": [
                *({name: value} for name, value in fixed.items()),
                ["content-length-range", 1, max_bytes],
            ],
        }
        policy = b64encode(json.dumps(terms).encode()).decode()
        return {**fixed, "policy": policy, "x-amz-signature": self._sign("POST", policy)}

    def _signed_url(self, method: str, key: str, headers: Mapping[str, str], expires: float) -> str:
        query = {**headers, "expires": str(ceil(expires))}
        signature = self._sign(method, key, query)
        return f"{self._url}/{quote(key)}?{urlencode({**query, 'signature': signature})}"

    def _verify_url(self, method: str, key: str, query: Mapping[str, str]) -> dict[str, str]:
        """The headers such a URL was signed for."""
        signed = {name: value for name, value in query.items() if name != "signature"}
        self._verify(query.get("signature", ""), method, key, signed)
        if time.time() > int(expires := signed.pop("expires")):
            until = datetime.fromtimestamp(int(expires), UTC).isoformat()
            raise Denied("AccessDenied", f"Request has expired: the URL was good until {until}.")
        return signed

    def _verify(self, signature: str, *signed: object) -> None:
        if not signature:
            raise Denied("AccessDenied", "Access Denied: nothing here is public, and there is no signature.")
        if not hmac.compare_digest(signature.encode(), self._sign(*signed).encode()):
            raise Denied(
                "SignatureDoesNotMatch",
                "The signature is of another request: method, key, query or policy changed after signing.",
            )

    def _sign(self, *conditions: object) -> str:
        return hmac.new(self._secret, json.dumps(conditions, sort_keys=True).encode(), "sha256").hexdigest()


class Upload:
    """One object on its way in: counted as it comes, and seen by nobody before ``commit``.

    Leaving it without that leaves nothing behind.
    """

    def __init__(self, part: Path, path: Path, permit: Permit) -> None:
        self._part = part
        self._path = path
        self._permit = permit
        self._size_bytes = 0

    def __enter__(self) -> Self:
        with _answers():
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _answers():
            self._part.unlink(missing_ok=True)
            self._file.close()

    def write(self, data: bytes) -> None:
        """Raises Denied the moment there is more than the permit allows."""
        self._size_bytes += len(data)
        if self._size_bytes > self._permit.most_bytes:
            raise _too_large(self._permit.most_bytes)
        with _answers():
            self._file.write(data)

    def commit(self) -> StoredObject:
        """Put it in place, durable and at once. Raises Denied if there is too little of it."""
        if self._size_bytes < self._permit.least_bytes:
            raise Denied(
                "EntityTooSmall",
                f"Your proposed upload has {self._size_bytes} bytes; "
                f"the minimum allowed size is {self._permit.least_bytes}.",
            )
        with _answers():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._put_in_place()
            return _stored(self._permit.key, os.fstat(self._file.fileno()))

    def _put_in_place(self) -> None:
        folder = self._path.parent
        while True:
            new = [one for one in (folder, *folder.parents) if not one.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._part.rename(self._path)
                break
            except (FileNotFoundError, FileExistsError):
                # somebody removed the folder, empty as it was, while we made it or after; or else our part
                if not self._part.exists():
                    raise
        for changed in {folder, *(one.parent for one in new)}:
            with suppress(FileNotFoundError):  # deleted by now
                _sync(changed)


_UPDATED_AT = "json_extract(CAST(document AS TEXT), '$.updated_at')"
_IS_QUEUED = f"json_extract(CAST(document AS TEXT), '$.state') = '{State.QUEUED}'"
_OWNER = "json_extract(CAST(document AS TEXT), '$.owner')"


class SqliteVideos:
    """Each record as JSON, beside the two columns that are compared."""

    def __init__(self, path: Path) -> None:
        self._database = _Database(
            path,
            f"""
            CREATE TABLE IF NOT EXISTS videos (
                id TEXT PRIMARY KEY, version INTEGER NOT NULL, recover_at REAL, document BLOB NOT NULL
            );
            CREATE INDEX IF NOT EXISTS in_flight ON videos (recover_at) WHERE recover_at IS NOT NULL;
            CREATE INDEX IF NOT EXISTS queued ON videos ({_UPDATED_AT}) WHERE {_IS_QUEUED};
            CREATE INDEX IF NOT EXISTS by_owner ON videos ({_OWNER}, id) WHERE {_OWNER} > '';
            CREATE TABLE IF NOT EXISTS counts (
                slot TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (slot, name)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS quotas (
                owner TEXT, day TEXT, uploads INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
                PRIMARY KEY (owner, day)
            ) WITHOUT ROWID;
            """,
        )
        self._run = self._database.run

    def add(self, video: Video, counts: Mapping[str, int] = {}, charge: Charge | None = None) -> Video:
        written = replace(video, version=video.version + 1)
        with self._database.transaction() as run:
            added = run(
                "INSERT INTO videos VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
                video.id, *_columns(written),
            )  # fmt: skip
            if not added:
                raise _lost(video)
            _count(run, counts)
            if charge:
                _take(run, charge)
        return written

    def get(self, video_id: str) -> Video:
        for (document,) in self._run("SELECT document FROM videos WHERE id = ?", video_id):
            return _video(document)
        raise UnknownVideo(video_id)

    def update(self, video: Video, counts: Mapping[str, int] = {}) -> Video:
        written = replace(video, version=video.version + 1)
        with self._database.transaction() as run:
            updated = run(
                "UPDATE videos SET version = ?, recover_at = ?, document = ? "
                "WHERE id = ? AND version = ? RETURNING id",
                *_columns(written), video.id, video.version,
            )  # fmt: skip
            if not updated:
                raise _lost(video)
            _count(run, counts)
        return written

    def delete(self, video_id: str, counts: Mapping[str, int] = {}) -> None:
        with self._database.transaction() as run:
            if not run("DELETE FROM videos WHERE id = ? RETURNING id", video_id):
                raise UnknownVideo(video_id)
            _count(run, counts)

    def counted(self, back: timedelta) -> Mapping[str, int]:
        since = counters.slots(datetime.now(UTC), back)[-1]
        found = self._run("SELECT name, sum(number) FROM counts WHERE slot >= ? GROUP BY name", since)
        return dict(found)

    def oldest_queued(self) -> datetime | None:
        [(updated_at,)] = self._run(f"SELECT min({_UPDATED_AT}) FROM videos WHERE {_IS_QUEUED}")
        return datetime.fromisoformat(updated_at) if updated_at else None

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        found = self._run(
            f"SELECT id, document FROM videos WHERE {_OWNER} = ? AND {_OWNER} > '' "
            f"{'AND id < ?' if after else ''} ORDER BY id DESC LIMIT ?",
            owner, *((after,) if after else ()), limit + 1,
        )  # fmt: skip
        videos = [_video(document) for _, document in found[:limit]]
        return Page(videos=videos, after=found[limit - 1][0] if len(found) > limit else None)

    def overdue(self, now: datetime, *, limit: int) -> list[Video]:
        found = self._run(
            "SELECT document FROM videos WHERE recover_at <= ? ORDER BY recover_at LIMIT ?",
            now.timestamp(),
            limit,
        )
        return [_video(document) for (document,) in found]

    def ping(self) -> None:
        self._run("SELECT id FROM videos LIMIT 1")


_READY = "FROM jobs WHERE queue = ? AND NOT dead AND ready_at <= ?"


class SqliteJobs:
    """One of the queues in a database, each known by its name.

    A row has a ``receipt`` while it is in flight; ``ready_at`` is when it may be delivered (again).
    """

    def __init__(
        self, path: Path, *, queue: str = "transcode", visibility_s: int = 900, max_receives: int = 5
    ) -> None:
        self._run = _Database(
            path,
            """
            CREATE TABLE IF NOT EXISTS jobs (
                id INTEGER PRIMARY KEY, queue TEXT NOT NULL, video_id TEXT NOT NULL, ready_at REAL NOT NULL,
                receives INTEGER NOT NULL DEFAULT 0, receipt TEXT UNIQUE, dead INTEGER NOT NULL DEFAULT 0
            );
            CREATE INDEX IF NOT EXISTS living ON jobs (queue, ready_at) WHERE NOT dead;
            """,
        ).run
        self._queue = queue
        self._visibility_s = visibility_s
        self._max_receives = max_receives

    def beside(self, queue: str) -> Self:
        """Another queue in the same database."""
        other = copy(self)
        other._queue = queue
        return other

    def put(self, video_id: str, *, delay_s: int = 0) -> None:
        self._run(
            "INSERT INTO jobs (queue, video_id, ready_at) VALUES (?, ?, ?)",
            self._queue, video_id, time.time() + delay_s,
        )  # fmt: skip

    def receive(self) -> Job | None:
        now = time.time()
        if not self._run(f"SELECT id {_READY} LIMIT 1", self._queue, now):
            return None  # without a write: idle workers ask often
        self._run(
            f"UPDATE jobs SET dead = 1, receipt = NULL WHERE id IN (SELECT id {_READY} AND receives >= ?)",
            self._queue, now, self._max_receives,
        )  # fmt: skip
        delivered = self._run(
            f"""
            UPDATE jobs SET receipt = ?, ready_at = ?, receives = receives + 1
            WHERE id = (SELECT id {_READY} AND receives < ? ORDER BY ready_at, id LIMIT 1)
            RETURNING video_id, receipt, receives
            """,
            uuid4().hex, now + self._visibility_s, self._queue, now, self._max_receives,
        )  # fmt: skip
        for video_id, receipt, receives in delivered:
            return Job(video_id=video_id, receipt=receipt, receives=receives)
        return None

    def done(self, job: Job) -> None:
        self._run("DELETE FROM jobs WHERE receipt = ?", job.receipt)

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        self._run(
            "UPDATE jobs SET receipt = NULL, ready_at = ? WHERE receipt = ?",
            time.time() + delay_s,
            job.receipt,
        )

    def release_all(self, *, counted: bool = True) -> list[str]:
        """Put what is in flight first in line: whoever had it is gone. Returns the ids.

        Not ``counted`` is a delivery whose worker was only told to stop.
        """
        released = self._run(
            "UPDATE jobs SET receipt = NULL, ready_at = 0, receives = receives - ? "
            "WHERE queue = ? AND receipt IS NOT NULL RETURNING video_id",
            int(not counted), self._queue,
        )  # fmt: skip
        return [video_id for (video_id,) in released]

    def bury(self, video_id: str) -> None:
        self._run(
            "INSERT INTO jobs (queue, video_id, ready_at, dead) VALUES (?, ?, ?, 1)",
            self._queue, video_id, time.time(),
        )  # fmt: skip

    def dead(self, *, limit: int = 10) -> list[str]:
        found = self._run(
            "SELECT video_id FROM jobs WHERE queue = ? AND dead ORDER BY ready_at, id LIMIT ?",
            self._queue,
            limit,
        )
        return [video_id for (video_id,) in found]

    def redrive(self, prepare: Callable[[str], None] = lambda _: None) -> int:
        letters = self._run("SELECT id, video_id FROM jobs WHERE queue = ? AND dead", self._queue)
        for letter, video_id in letters:
            prepare(video_id)
            self._run(
                "UPDATE jobs SET dead = 0, receives = 0, ready_at = ? WHERE id = ?", time.time(), letter
            )
        return len(letters)

    def stats(self) -> QueueStats:
        [(total, in_flight, dead)] = self._run(
            "SELECT count(*), count(receipt) FILTER (WHERE ready_at > ?), count(*) FILTER (WHERE dead) "
            "FROM jobs WHERE queue = ?",
            time.time(), self._queue,
        )  # fmt: skip
        return QueueStats(waiting=total - in_flight - dead, in_flight=in_flight, dead=dead)


class _Run(Protocol):
    """Runs one statement; its rows are returned."""

    def __call__(self, statement: str, *values: object) -> list[tuple[Any, ...]]: ...


class _Database:
    """One SQLite file for many threads: each statement borrows a connection, or opens one."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        weakref.finalize(self, _close, self._idle)
        with _answers():
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema)

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, which is a transaction of its own."""
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[_Run]:
        """Several statements that happen all or, if something is raised, not at all; gives their ``run``."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, *values: connection.execute(statement, values).fetchall()
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop() if self._idle else self._open()
        except IndexError:  # another thread was quicker
            connection = self._open()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise _unavailable("The database", error) from error
        except VideoError:
            self._idle.append(connection)
            raise
        self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, timeout=5.0, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error as error:
            raise _unavailable("The database", error) from error
        return connection


def _close(connections: list[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()


def _take(run: _Run, charge: Charge) -> None:
    select = "SELECT uploads, size_bytes FROM quotas WHERE owner = ? AND day = ?"
    [used] = run(select, charge.owner, charge.day) or [(0, 0)]
    if not charge.fits(*used):
        raise charge.refusal(*used)
    run("DELETE FROM quotas WHERE owner = ? AND day < ?", charge.owner, charge.day)
    run(
        "INSERT INTO quotas VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE "
        "SET uploads = uploads + 1, size_bytes = size_bytes + excluded.size_bytes",
        charge.owner, charge.day, charge.size_bytes,
    )  # fmt: skip


def _video(document: bytes) -> Video:
    return msgspec.json.decode(document, type=Video)


def _columns(video: Video) -> tuple[int, float | None, bytes]:
    """Of a row: version, recover_at, document."""
    recover_at = video.recover_at.timestamp() if video.recover_at else None
    return video.version, recover_at, msgspec.json.encode(video)


def _count(run: _Run, counts: Mapping[str, int]) -> None:
    slot = counters.slot(datetime.now(UTC))
    for name, number in counts.items():
        run(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
            slot, name, number,
        )  # fmt: skip
    if counts:
        run("DELETE FROM counts WHERE slot < ?", counters.slot(datetime.now(UTC) - counters.KEPT))


def _lost(video: Video) -> LostRace:
    return LostRace(
        f"Video {video.id} was changed by somebody else.",
        suggestions=["Read the video again; what you wanted may be done already."],
    )


def _stored(key: str, found: os.stat_result) -> StoredObject:
    if not S_ISREG(found.st_mode):
        raise FileNotFoundError(f"No such key: {key!r}")
    return StoredObject(
        key=key,
        size_bytes=found.st_size,
        etag=f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}",
        stored_at=datetime.fromtimestamp(found.st_mtime, UTC),
    )


def _too_large(most_bytes: int) -> Denied:
    return Denied(
        "EntityTooLarge", f"Your proposed upload exceeds the maximum allowed size of {most_bytes} bytes."
    )


def _sync(folder: Path) -> None:
    """Make a rename in it survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _answers(*, missing: str = "") -> Iterator[None]:
    """Turn what the disk says into what a port may raise; no file may mean that the key is ``missing``."""
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise FileNotFoundError(f"No such key: {missing!r}") from None
        raise _unavailable("The folder", error) from error


def _unavailable(what: str, error: OSError | sqlite3.Error) -> Unavailable:
    if isinstance(error, OSError):
        full = StorageFull.is_meant(error)
    else:  # one that the module itself raises has no code
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if full:
        return StorageFull()
    return Unavailable(
        f"{what} cannot be used now: {error}.",
        suggestions=["See that the folder is yours and its disk works, then try again."],
    )
