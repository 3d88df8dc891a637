"""Job queues in SQLite, with dead letters."""

import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Self
from uuid import uuid4

from videos.policy import MAX_RECEIVES, VISIBILITY_S
from videos.ports import Job, QueueStats
from videos.stores.local.database import Database

_READY = "FROM jobs WHERE queue = ? AND NOT dead AND ready_at <= ?"
# Other queues' messages are not JSON, and SQLite may look at any of the conditions first.
_ALONE = """ AND NOT EXISTS (
    SELECT 1 FROM jobs AS other WHERE other.receipt IS NOT NULL AND other.ready_at > jobs.ready_at
    AND CASE other.queue WHEN jobs.queue THEN json_extract(other.video_id, '{0}') END
      = json_extract(jobs.video_id, '{0}')
)"""


class SqliteJobs:
    """One named queue in a database.

    A row has a ``receipt`` while it is in flight; ``ready_at`` is when it may be (re)delivered. In some
    queues, ``video_id`` holds another message.

    ``one_at_a_time_of``: the JSON path of what only one message in flight may have at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        queue: str = "transcode",
        visibility_s: int = VISIBILITY_S,
        max_receives: int = MAX_RECEIVES,
        one_at_a_time_of: str = "",
    ) -> None:
        self._run = Database(
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
        self._ready = _READY + (_ALONE.format(one_at_a_time_of) if one_at_a_time_of else "")

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
        """The next ready job, hidden from other workers from now on; None if there is none."""
        now = time.time()
        if not self._run(f"SELECT id {self._ready} LIMIT 1", self._queue, now):
            return None  # no write: idle workers poll often
        self._run(
            f"UPDATE jobs SET dead = 1, receipt = NULL WHERE id IN (SELECT id {_READY} AND receives >= ?)",
            self._queue, now, self._max_receives,
        )  # fmt: skip
        delivered = self._run(
            f"""
            UPDATE jobs SET receipt = ?, ready_at = ?, receives = receives + 1
            WHERE id = (SELECT id {self._ready} AND receives < ? ORDER BY ready_at, id LIMIT 1)
            RETURNING video_id, receipt, receives
            """,
            uuid4().hex, now + self._visibility_s, self._queue, now, self._max_receives,
        )  # fmt: skip
        for video_id, receipt, receives in delivered:
            return Job(video_id=video_id, receipt=receipt, receives=receives)
        return None

    def done(self, job: Job) -> None:
        """Delete the job: it is not delivered again."""
        self._run("DELETE FROM jobs WHERE receipt = ?", job.receipt)

    def give_back(self, job: Job, *, delay_s: int = 0) -> None:
        self._run(
            "UPDATE jobs SET receipt = NULL, ready_at = ? WHERE receipt = ?",
            time.time() + delay_s,
            job.receipt,
        )

    def exchange(self, receipt: str, message: str, *, delay_s: int) -> None:
        """Put ``message`` in the place of the one in flight, to be delivered after ``delay_s``."""
        self._run(
            "UPDATE jobs SET receipt = NULL, receives = 0, ready_at = ?, video_id = ? WHERE receipt = ?",
            time.time() + delay_s, message, receipt,
        )  # fmt: skip

    def release_all(self) -> list[str]:
        """Re-queue all jobs in flight at the front, after their workers ended. Returns the video ids.

        These deliveries are not counted: the records know whether a worker was lost.
        """
        released = self._run(
            "UPDATE jobs SET receipt = NULL, ready_at = 0, receives = receives - 1 "
            "WHERE queue = ? AND receipt IS NOT NULL RETURNING video_id",
            self._queue,
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
        def prepared(video_id: str) -> str:
            prepare(video_id)
            return video_id

        return self.revive(prepared)

    def revive(self, rewritten: Callable[[str], str | None]) -> int:
        """Re-queue dead letters with their message rewritten, but those without; returns how many."""
        dead = self._run("SELECT id, video_id FROM jobs WHERE queue = ? AND dead", self._queue)
        letters = [(letter, message) for letter, old in dead if (message := rewritten(old)) is not None]
        for letter, message in letters:
            self._run(
                "UPDATE jobs SET dead = 0, receives = 0, ready_at = ?, video_id = ? WHERE id = ?",
                time.time(), message, letter,
            )  # fmt: skip
        return len(letters)

    def stats(self) -> QueueStats:
        [(total, in_flight, dead)] = self._run(
            "SELECT count(*), count(receipt) FILTER (WHERE ready_at > ?), count(*) FILTER (WHERE dead) "
            "FROM jobs WHERE queue = ?",
            time.time(), self._queue,
        )  # fmt: skip
        return QueueStats(waiting=total - in_flight - dead, in_flight=in_flight, dead=dead)
