"""Objects as files in a folder.

objects/<key>   one file per object
incoming/       uploads in progress; a crash may leave files here
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

from videos.errors import Unavailable
from videos.model import StoredObject
from videos.ports import Ticket
from videos.stores.local.disk import make_folder, private, sync, translate_errors
from videos.stores.local.tickets import Denied, Permit, Tickets, already_there, too_large

MAX_RENAMES = 100  # tries to put an upload in place while others remove its folder


class FolderStorage:
    """Objects as files; ``tickets`` signs and verifies client access."""

    def __init__(self, folder: Path, base_url: str, secret: bytes) -> None:
        self._objects = folder / "objects"
        self._incoming = folder / "incoming"
        self.tickets = Tickets(base_url, secret)

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
            return self.tickets.post(key, content_type, max_bytes, expires_at)
        return self.tickets.put(key, content_type, max_bytes, exact_bytes, expires_at)

    def download_url(
        self, key: str, *, content_type: str, expires_in_s: int, method: Literal["GET", "HEAD"] = "GET"
    ) -> str:
        return self.tickets.get(key, content_type, expires_in_s, method)

    def upload(self, permit: Permit) -> "Upload":
        """Receive an object in chunks; see ``Upload``."""
        return Upload(self._incoming / uuid4().hex, self.path(permit.key), permit)

    def stat(self, key: str) -> StoredObject:
        with translate_errors(missing=key):
            return _stored(key, self.path(key).stat())

    def fetch(self, key: str, to: Path) -> StoredObject:
        path = self.path(key)
        part = to.with_name(f"{to.name}.part")
        with translate_errors(missing=key):
            try:
                part.hardlink_to(path)  # replacing the object creates a new file; this one stays
                found = part.stat()
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or a file system without hard links
                with path.open("rb") as source, open(part, "wb", opener=private) as target:
                    shutil.copyfileobj(source, target)
                    found = os.fstat(source.fileno())
            to.unlink(missing_ok=True)  # a rename onto another link to the same file does nothing
            part.rename(to)
            return _stored(key, found)

    def save(self, file: Path, key: str, *, content_type: str) -> StoredObject:  # noqa: ARG002
        """The content type is not stored: every download URL sets its own."""
        with file.open("rb") as source, self.upload(Permit(key, 0, sys.maxsize)) as upload:
            shutil.copyfileobj(source, upload, 1024**2)
            return upload.commit()

    def copy(self, source: StoredObject, key: str, *, content_type: str) -> StoredObject:  # noqa: ARG002
        part = self._incoming / uuid4().hex
        with translate_errors():
            make_folder(part.parent)
        try:
            if self.fetch(source.key, part).etag != source.etag:
                raise FileNotFoundError(f"Something else is at {source.key!r} by now.")
            with translate_errors(), part.open("rb") as file:
                os.fsync(file.fileno())
                _put_in_place(part, self.path(key), Permit(key, 0, sys.maxsize))
                return _stored(key, os.fstat(file.fileno()))
        finally:
            with translate_errors():
                part.unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        folder, _, _ = prefix.rpartition("/")
        start = self.path(folder) if folder else self._objects
        found = [Path(parent, name) for parent, _, names in os.walk(start) for name in names]
        keys = sorted(path.relative_to(self._objects).as_posix() for path in found)
        return (key for key in keys if key.startswith(prefix))

    def delete(self, *keys: str) -> None:
        for key in keys:
            path = self.path(key)
            with translate_errors(), suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
            self._remove_empty(path.parent)

    def ping(self) -> None:
        with self.upload(Permit("health", 0, 0)) as upload:
            upload.commit()
        with translate_errors():
            self.path("health").read_bytes()

    def _remove_empty(self, folder: Path) -> None:
        """Remove ``folder`` and its parents while they are empty."""
        with suppress(OSError):  # not empty, or already removed
            while folder != self._objects:
                folder.rmdir()
                folder = folder.parent

    def path(self, key: str) -> Path:
        """The file of ``key``. Raises ValueError if it would be outside the objects folder."""
        if "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
            raise ValueError(f"Invalid key: {key!r}")
        return self._objects / key


class Upload:
    """An upload in progress: its size is checked as it arrives; invisible until ``commit``.

    Leaving the context without ``commit`` discards it.
    """

    def __init__(self, part: Path, path: Path, permit: Permit) -> None:
        self._part = part
        self._path = path
        self._permit = permit
        self._size_bytes = 0

    def __enter__(self) -> Self:
        if not self._permit.may_replace and self._path.exists():  # before it is sent in vain
            raise already_there(self._permit.key)
        with translate_errors():
            make_folder(self._part.parent)
            self._file = open(self._part, "xb", opener=private)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with translate_errors():
            self._part.unlink(missing_ok=True)
            self._file.close()

    def write(self, data: bytes) -> None:
        """Append data. Raises Denied once the upload exceeds the permit."""
        self._size_bytes += len(data)
        if self._size_bytes > self._permit.max_bytes:
            raise too_large(self._permit.max_bytes)
        with translate_errors():
            self._file.write(data)

    def commit(self) -> StoredObject:
        """Store the object, durably and atomically.

        Raises Denied if it is too small, or if another is there that it must not replace.
        """
        if self._size_bytes < self._permit.min_bytes:
            raise Denied(
                "EntityTooSmall",
                f"Your proposed upload has {self._size_bytes} bytes; "
                f"the minimum allowed size is {self._permit.min_bytes}.",
            )
        with translate_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            _put_in_place(self._part, self._path, self._permit)
            return _stored(self._permit.key, os.fstat(self._file.fileno()))


def _put_in_place(part: Path, path: Path, permit: Permit) -> None:
    """Move a file that is whole to its place, durably."""
    folder = path.parent
    for _ in range(MAX_RENAMES):
        new = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        try:
            make_folder(folder)
            _rename(part, path, permit)
            break
        except (FileNotFoundError, FileExistsError):
            if not permit.may_replace and path.exists():
                raise already_there(permit.key) from None
            # Another thread removed the empty folder: retry. A missing part file is an error.
            if not part.exists():
                raise
    else:
        raise Unavailable(
            f"The folder of {permit.key!r} cannot be created.",
            suggestions=["Check the data folder: a file may be where a folder should be."],
        )
    for changed in {folder, *(created.parent for created in new)}:
        with suppress(FileNotFoundError):  # deleted meanwhile
            sync(changed)


def _rename(part: Path, path: Path, permit: Permit) -> None:
    if permit.may_replace:
        part.rename(path)
        return
    try:
        path.hardlink_to(part)  # unlike a rename, it fails if there is a file
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError from None
        part.rename(path)


def _stored(key: str, found: os.stat_result) -> StoredObject:
    if not S_ISREG(found.st_mode):
        raise FileNotFoundError(f"No such key: {key!r}")
    return StoredObject(
        key=key,
        size_bytes=found.st_size,
        etag=f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}",
        stored_at=datetime.fromtimestamp(found.st_mtime, UTC),
    )
