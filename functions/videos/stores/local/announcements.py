"""A log of events in SQLite, which the local server's ``/events`` reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from videos.ports import Event
from videos.stores.local.database import Database

KEPT_EVENTS = 10_000  # some 10 MB


@dataclass(frozen=True, slots=True)
class Told:
    """One event in the log: its position, and its body."""

    position: int
    body: str


class SqliteAnnouncements:
    """Positions grow by the order of announcing. An event that is announced again is in the log once."""

    def __init__(self, path: Path, *, kept_events: int = KEPT_EVENTS) -> None:
        self._database = Database(
            path,
            """
            CREATE TABLE IF NOT EXISTS events (
                position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL,
                body TEXT NOT NULL
            );
            """,
        )
        self._run = self._database.run
        self._kept_events = kept_events

    def announce(self, events: Sequence[Event]) -> None:
        with self._database.transaction() as run:
            for event in events:
                run(
                    "INSERT INTO events (id, owner, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    event.id, event.owner, event.body,
                )  # fmt: skip
            run(
                "DELETE FROM events WHERE position <= (SELECT max(position) FROM events) - ?",
                self._kept_events,
            )

    def after(self, position: int, *, owner: str, limit: int) -> list[Told]:
        """At most ``limit`` events of the owner after ``position``, the first told first."""
        found = self._run(
            "SELECT position, body FROM events WHERE position > ? AND owner = ? ORDER BY position LIMIT ?",
            position, owner, limit,
        )  # fmt: skip
        return [Told(*row) for row in found]

    def kept(self) -> range:
        """The positions from which ``after`` leaves nothing out: from before the oldest kept event to the
        latest one."""
        [(oldest, latest)] = self._run("SELECT min(position), max(position) FROM events")
        return range(oldest - 1, latest + 1) if latest else range(1)
