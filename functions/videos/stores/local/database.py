"""A SQLite database that many threads share."""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from videos.errors import VideoError
from videos.stores.local.disk import make_folder, translate_errors, unavailable


class Run(Protocol):
    """Runs one statement and returns its rows."""

    def __call__(self, statement: str, *values: object) -> list[tuple[Any, ...]]: ...


class Database:
    """A pool of connections to one SQLite file: each statement borrows a connection, or opens one."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        weakref.finalize(self, _close, self._idle)
        with translate_errors():
            make_folder(path.parent)
            path.touch(mode=0o600)  # SQLite gives its other files the same permissions
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema)

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in its own transaction and return its rows."""
        with self._connection() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """A transaction, rolled back if the body raises. Yields its ``run``."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda statement, *values: connection.execute(statement, values).fetchall()
            except BaseException:
                if connection.in_transaction:  # SQLite rolls back by itself if the disk is full
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop() if self._idle else self._open()
        except IndexError:  # another thread took the last one
            connection = self._open()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise unavailable("The database", error) from error
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
            raise unavailable("The database", error) from error
        return connection


def _close(connections: list[sqlite3.Connection]) -> None:
    for connection in connections:
        connection.close()
