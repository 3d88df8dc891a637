"""Records, counts and quotas in SQLite."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from videos.errors import LostRace, UnknownVideo
from videos.model import State, Video
from videos.ports import KeyedAnswer, Page
from videos.quota import Charge
from videos.stores.local.database import Database, Run
from videos.telemetry import counters

_UPDATED_AT = "json_extract(CAST(document AS TEXT), '$.updated_at')"
_IS_QUEUED = f"json_extract(CAST(document AS TEXT), '$.state') = '{State.QUEUED}'"
_OWNER = "json_extract(CAST(document AS TEXT), '$.owner')"


class SqliteVideos:
    """Each record as JSON, plus the columns that queries compare."""

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

    def add(
        self,
        video: Video,
        counts: Mapping[str, int] = {},
        charge: Charge | None = None,
        keyed: KeyedAnswer | None = None,
    ) -> Video:
        written = replace(video, version=video.version + 1)
        with self._database.transaction() as run:
            added = run(
                "INSERT INTO videos VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
                video.id, *_columns(written),
            )  # fmt: skip
            if not added or (keyed and not _keep(keyed, run)):
                raise _lost(video)
            _count(run, counts)
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


def _count(run: Run, counts: Mapping[str, int]) -> None:
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
        f"Video {video.id} was changed by another request.",
        suggestions=["Read the video again; your change may already be done."],
    )
