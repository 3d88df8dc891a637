"""Disk operations, with the errors that the ports define. Everything made here is for its owner only."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from videos.errors import StorageFull, Unavailable

OTHERS = stat.S_IRWXG | stat.S_IRWXO
# What the data folder holds. Anything else in it is not ours to change.
ENTRIES = ("objects", "incoming", "work", "lock", "secret", "videos.db", "videos.db-wal", "videos.db-shm")


def make_private(folder: Path) -> None:
    """Create the data folder, or take other users' permissions off an existing one and its entries.

    A shared folder such as /tmp keeps its own permissions; its entries are still made private.
    """
    make_folder(folder)
    if not folder.stat().st_mode & stat.S_ISVTX:
        _tighten(folder)
    for entry in (folder / name for name in ENTRIES):
        if entry.exists() and entry.stat().st_mode & OTHERS:
            for parent, _, names in os.walk(entry):
                for path in (Path(parent), *(Path(parent, name) for name in names)):
                    _tighten(path)
            _tighten(entry)


def _tighten(path: Path) -> None:
    with suppress(FileNotFoundError, PermissionError):  # deleted meanwhile, or another user's
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, if missing."""
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """An ``opener`` for ``open``."""
    return os.open(path, flags, mode=0o600)


def sync(folder: Path) -> None:
    """Flush a folder, so that a rename in it survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translate_errors(*, missing: str = "") -> Iterator[None]:
    """Translate OSError to the ports' errors; a missing file raises FileNotFoundError for key ``missing``."""
    try:
        yield
    except OSError as error:
        if missing and isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise FileNotFoundError(f"No such key: {missing!r}") from None
        raise unavailable("The folder", error) from error


def unavailable(what: str, error: OSError | sqlite3.Error) -> Unavailable:
    if isinstance(error, OSError):
        full = StorageFull.matches(error)
    else:  # errors raised by the sqlite3 module itself have no code
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if full:
        return StorageFull()
    reason = error.strerror if isinstance(error, OSError) else error  # clients are told: no path of ours
    return Unavailable(
        f"{what} is unavailable: {reason}.",
        suggestions=["Check the permissions of the data folder and the state of its disk, then retry."],
    )
