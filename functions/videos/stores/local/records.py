"""Records, their changes, counts and quotas in SQLite."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from videos.errors import LostRace, UnknownVideo
from videos.model import State, Video
from videos.ports import Change, KeyedAnswer, Page
from videos.quota import Charge
from videos.stores.local.database import Database, Run
from videos.telemetry import counters

_UPDATED_AT = "json_extract(CAST(document AS TEXT), '$.updated_at')"
_IS_QUEUED = f"json_extract(CAST(document AS TEXT), '$.state') = '{State.QUEUED}'"
_OWNER = "json_extract(CAST(document AS TEXT), '$.owner')"


class SqliteVideos:
    """Each record as JSON, plus the columns that queries compare.

    Each write of a record adds a row to ``outbox`` in the same transaction, which the local server delivers
    to ``publish_changes``. ``counted`` names the changes that were counted.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(
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
            CREATE TABLE IF NOT EXISTS outbox (
                number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, before BLOB, after BLOB
            );
            CREATE TABLE IF NOT EXISTS counted (change TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
            CREATE INDEX IF NOT EXISTS counted_at ON counted (at);
            CREATE TABLE IF NOT EXISTS quotas (
                owner TEXT, day TEXT, uploads INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
                PRIMARY KEY (owner, day)
            ) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS keyed (
                key TEXT PRIMARY KEY, expires_at REAL NOT NULL, answer BLOB NOT NULL
            ) WITHOUT ROWID;
            """,
        )
        self._run = self._database.run

    def add(self, video: Video, charge: Charge | None = None, keyed: KeyedAnswer | None = None) -> Video:
        written = replace(video, version=video.version + 1)
        with self._database.transaction() as run:
            added = run(
                "INSERT INTO videos VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING document",
                video.id, *_columns(written),
            )  # fmt: skip
            if not added or (keyed and not _keep(keyed, run)):
                raise _lost(video)
            _note(run, None, added[0][0])
            if charge:
                _apply(charge, run)
        return written

    def answered(self, key: str, now: datetime) -> KeyedAnswer | None:
        select = "SELECT answer FROM keyed WHERE key = ? AND expires_at > ?"
        return next((_answer(answer) for (answer,) in self._run(select, key, now.timestamp())), None)

    def get(self, video_id: str) -> Video:
        for (document,) in self._run("SELECT document FROM videos WHERE id = ?", video_id):
            return _video(document)
        raise UnknownVideo(video_id)

    def update(self, video: Video) -> Video:
        written = replace(video, version=video.version + 1)
        with self._database.transaction() as run:
            before = run("SELECT document FROM videos WHERE id = ? AND version = ?", video.id, video.version)
            if not before:
                raise _lost(video)
            [(after,)] = run(
                "UPDATE videos SET version = ?, recover_at = ?, document = ? WHERE id = ? RETURNING document",
                *_columns(written), video.id,
            )  # fmt: skip
            _note(run, before[0][0], after)
        return written

    def delete(self, video_id: str) -> None:
        with self._database.transaction() as run:
            deleted = run("DELETE FROM videos WHERE id = ? RETURNING document", video_id)
            if not deleted:
                raise UnknownVideo(video_id)
            _note(run, deleted[0][0], None)

    def outbox(self, *, limit: int) -> list[dict[str, Any]]:
        """The changes that were not delivered yet, as records for ``publish_changes``; the oldest first."""
        found = self._run("SELECT number, at, before, after FROM outbox ORDER BY number LIMIT ?", limit)
        return [
            {
                "number": number,
                "at": at,
                "before": before and before.decode(),
                "after": after and after.decode(),
            }
            for number, at, before, after in found
        ]

    def delivered(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take these records of the outbox out of it."""
        self._run("DELETE FROM outbox WHERE number <= ?", records[-1]["number"])

    def change_of(self, record: Mapping[str, Any]) -> Change | None:
        before, after = (record[name] and _video(record[name]) for name in ("before", "after"))
        return Change(before=before, after=after, at=datetime.fromtimestamp(record["at"], UTC))

    def count(self, counted: Sequence[tuple[Change, Mapping[str, int]]]) -> list[Change]:
        now: list[Change] = []
        if not counted:
            return now  # no write: most changes are of the progress
        with self._database.transaction() as run:
            for change, counts in counted:
                if run(
                    "INSERT INTO counted VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING change",
                    change.name, change.at.timestamp(),
                ):  # fmt: skip
                    _count(run, change.at, counts)
                    now.append(change)
            if now:
                _forget(run, datetime.now(UTC) - counters.KEPT)
        return now

    def counted(self, back: timedelta) -> Mapping[str, int]:
        since = counters.slots(datetime.now(UTC), back)[-1]
        found = self._run("SELECT name, sum(number) FROM counts WHERE slot >= ? GROUP BY name", since)
        return dict(found)

    def oldest_queued(self) -> datetime | None:
        [(updated_at,)] = self._run(f"SELECT min({_UPDATED_AT}) FROM videos WHERE {_IS_QUEUED}")
        return datetime.fromisoformat(updated_at) if updated_at else None

    def of_owner(self, owner: str, *, limit: int, after: str | None = None) -> Page:
        # Only the first is in the index; the second goes through all videos, which a laptop can.
        is_owned = f"AND {_OWNER} > ''" if owner else ""
        found = self._run(
            f"SELECT id, document FROM videos WHERE {_OWNER} = ? {is_owned} "
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


def _keep(keyed: KeyedAnswer, run: Run) -> bool:
    """Whether no other answer is kept under its key."""
    run("DELETE FROM keyed WHERE expires_at <= ?", keyed.answered_at.timestamp())
    return bool(
        run(
            "INSERT INTO keyed VALUES (?, ?, ?) ON CONFLICT DO NOTHING RETURNING key",
            keyed.key, keyed.expires_at.timestamp(), msgspec.json.encode(keyed),
        )
    )  # fmt: skip


def _apply(charge: Charge, run: Run) -> None:
    select = "SELECT uploads, size_bytes FROM quotas WHERE owner = ? AND day = ?"
    [used] = run(select, charge.owner, charge.day) or [(0, 0)]
    if not charge.fits(*used):
        raise charge.rejection(*used)
    run("DELETE FROM quotas WHERE owner = ? AND day < ?", charge.owner, charge.day)
    run(
        "INSERT INTO quotas VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE "
        "SET uploads = uploads + 1, size_bytes = size_bytes + excluded.size_bytes",
        charge.owner, charge.day, charge.size_bytes,
    )  # fmt: skip


# Built at import: two threads building a decoder of the same type crash the process (msgspec 0.22).
_video = msgspec.json.Decoder(Video).decode
_answer = msgspec.json.Decoder(KeyedAnswer).decode


def _columns(video: Video) -> tuple[int, float | None, bytes]:
    """The columns of a row: version, recover_at, document."""
    recover_at = video.recover_at.timestamp() if video.recover_at else None
    return video.version, recover_at, msgspec.json.encode(video)


def _note(run: Run, before: bytes | None, after: bytes | None) -> None:
    run("INSERT INTO outbox (at, before, after) VALUES (?, ?, ?)", time.time(), before, after)


def _count(run: Run, at: datetime, counts: Mapping[str, int]) -> None:
    for name, number in counts.items():
        run(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number",
            counters.slot(at), name, number,
        )  # fmt: skip


def _forget(run: Run, until: datetime) -> None:
    run("DELETE FROM counts WHERE slot < ?", counters.slot(until))
    run("DELETE FROM counted WHERE at < ?", until.timestamp())


def _lost(video: Video) -> LostRace:
    return LostRace(
        f"Video {video.id} was changed by another request.",
        suggestions=["Read the video again; your change may already be done."],
    )
