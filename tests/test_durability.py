"""Durability of the local adapters: synced writes, no leftovers, a clear error on a full disk."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from support import stream
from videos.errors import LostRace, StorageFull, Unavailable
from videos.model import Video
from videos.ports import Change
from videos.stores.local.database import Database
from videos.stores.local.folder import FolderStorage
from videos.stores.local.jobs import SqliteJobs
from videos.stores.local.records import SqliteVideos
from videos.telemetry import counters
from videos.web import api

MP4 = "video/mp4"


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path, "http://localhost", b"secret")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    return path


def a_video(name: str) -> Video:
    now = datetime.now(UTC)
    return Video(
        id=name, filename="x" * 2000, content_type=MP4, created_at=now, updated_at=now,
        upload_expires_at=now, recover_at=now,
    )  # fmt: skip


# ── The folder ───────────────────────────────────────────────────────────────────


def test_deleting_the_last_object_removes_its_empty_folders(storage, file, tmp_path):
    for key in ("outputs/v1/a/720p.mp4", "outputs/v1/b/poster.jpg", "uploads/v1"):
        storage.save(file, key, content_type=MP4)

    storage.delete("outputs/v1/a/720p.mp4")
    assert not (tmp_path / "objects/outputs/v1/a").exists()
    assert storage.stat("outputs/v1/b/poster.jpg")

    storage.delete("outputs/v1/b/poster.jpg", "uploads/v1")
    assert not list((tmp_path / "objects").iterdir())


def test_objects_can_be_saved_and_deleted_concurrently(storage, file):
    def save_and_delete(number: int) -> None:
        for _ in range(50):
            storage.save(file, f"outputs/v1/a/{number}", content_type=MP4)
            storage.delete(f"outputs/v1/a/{number}")
        storage.save(file, f"outputs/v1/a/{number}", content_type=MP4)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save_and_delete, range(4)))

    assert list(storage.keys("outputs/")) == [f"outputs/v1/a/{number}" for number in range(4)]


@pytest.mark.parametrize("blocked", ["uploads", "uploads/v1"])
def test_a_file_where_a_folder_should_be_makes_storage_unavailable(storage, file, tmp_path, blocked):
    in_the_way = tmp_path / "objects" / blocked
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_bytes(b"")

    with pytest.raises(Unavailable) as told:
        storage.save(file, "uploads/v1/a", content_type=MP4)

    assert str(tmp_path) not in str(told.value)  # clients are told so
    assert not list((tmp_path / "incoming").iterdir())


def test_an_object_whose_folder_vanishes_at_every_try_makes_storage_unavailable(storage, file, monkeypatch):
    def without_folder(_: Path, to: Path) -> None:
        to.parent.rmdir()
        raise FileNotFoundError(to)

    monkeypatch.setattr(Path, "rename", without_folder)

    with pytest.raises(Unavailable):
        storage.save(file, "uploads/v1", content_type=MP4)


def watch_syncs(monkeypatch, tmp_path) -> list[str]:
    """What is synced and renamed from now on, in order."""
    done = []
    fsync, rename = os.fsync, Path.rename
    names = {"objects/outputs/v1": "its folder", "objects/outputs": "above", "objects": "above", "": "above"}

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(names.get(str(path.relative_to(tmp_path)).strip("."), "the file"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", lambda path, to: [done.append("renamed"), rename(path, to)][1])
    return done


def test_an_object_is_synced_before_its_rename_and_the_folder_after_it(storage, file, tmp_path, monkeypatch):
    done = watch_syncs(monkeypatch, tmp_path)

    storage.save(file, "outputs/v1/720p.mp4", content_type=MP4)

    assert done[:2] == ["the file", "renamed"]
    assert sorted(done[2:]) == ["above", "above", "above", "its folder"]


def test_a_copy_is_a_link_where_the_disk_has_links_else_a_file(storage, file, tmp_path, monkeypatch):
    source = storage.save(file, "uploads/v1", content_type=MP4)

    linked = storage.copy(source, "sources/v1/a/source", content_type=MP4)
    monkeypatch.setattr(Path, "hardlink_to", Mock(side_effect=OSError(errno.EPERM, "no links")))
    copied = storage.copy(source, "sources/v1/b/source", content_type=MP4)

    inodes = [storage.path(one.key).stat().st_ino for one in (source, linked, copied)]
    assert inodes[0] == inodes[1] != inodes[2]
    assert storage.path(copied.key).read_bytes() == b"12345"
    assert not list((tmp_path / "incoming").iterdir())


def test_a_copy_is_synced_before_its_rename_and_the_folder_after_it(storage, file, tmp_path, monkeypatch):
    source = storage.save(file, "uploads/v1", content_type=MP4)
    done = watch_syncs(monkeypatch, tmp_path)

    storage.copy(source, "outputs/v1/source", content_type=MP4)

    assert done[:3] == ["renamed", "the file", "renamed"]
    assert sorted(done[3:]) == ["above", "above", "its folder"]


def test_a_full_disk_raises_storage_full_and_keeps_the_old_object(storage, file, tmp_path, monkeypatch):
    storage.save(file, "uploads/v1", content_type=MP4)
    file.write_bytes(b"another")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageFull):
        storage.save(file, "uploads/v1", content_type=MP4)

    assert storage.path("uploads/v1").read_bytes() == b"12345"
    assert not list((tmp_path / "incoming").iterdir())


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on its own disk of 2.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux can mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_really_full_disk_keeps_its_objects_and_recovers_once_there_is_room(small_disk, tmp_path):
    storage = FolderStorage(small_disk, "http://localhost", b"secret")
    megabyte = tmp_path / "megabyte"
    megabyte.write_bytes(b"x" * 1_000_000)
    kept = [storage.save(megabyte, f"uploads/v{number}", content_type=MP4).key for number in range(2)]

    with pytest.raises(StorageFull):
        storage.save(megabyte, "uploads/v2", content_type=MP4)

    assert list(storage.keys("uploads/")) == kept
    assert all(storage.path(key).read_bytes() == megabyte.read_bytes() for key in kept)
    storage.delete(kept[0])
    assert storage.save(megabyte, "uploads/another", content_type=MP4).size_bytes == 1_000_000


def test_a_temporary_folder_on_a_full_disk_raises_storage_full(small_disk, service):
    with (
        pytest.raises(StorageFull),
        replace(service, workspace=small_disk / "work").private_folder() as folder,
    ):
        (folder / "source").write_bytes(bytes(4_000_000))

    assert not list((small_disk / "work").iterdir())


# ── The database ─────────────────────────────────────────────────────────────────


def test_database_writes_are_synced_before_they_return(tmp_path):
    database = Database(tmp_path / "videos.db", "")

    for _ in range(2):  # the first opens a connection, the second borrows it
        assert database.run("PRAGMA synchronous") == [(2,)]  # FULL
    assert database.run("PRAGMA journal_mode") == [("wal",)]


def test_a_full_database_raises_storage_full_loses_nothing_and_recovers(tmp_path, monkeypatch):
    videos = SqliteVideos(tmp_path / "videos.db")
    opened = Database._open

    def small(database: Database):
        connection = opened(database)
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(Database, "_open", small)
        full = SqliteVideos(tmp_path / "videos.db")
        kept = []
        with pytest.raises(StorageFull) as error:
            kept.extend(full.add(a_video(f"video-{number}")) for number in range(100))
        assert [full.get(video.id) for video in kept] == kept

    status, body, headers = api.answer(error.value)
    assert (status, body["code"], headers["Retry-After"]) == (507, "storage_full", "60")
    assert "Accepted videos are kept" in body["suggestions"][0]
    assert videos.add(a_video("another")).version == 1


def test_a_database_of_before_there_was_an_outbox_gets_one(tmp_path):
    written = SqliteVideos(tmp_path / "videos.db").add(a_video("old"))
    before = Database(tmp_path / "videos.db", "")
    for table in ("outbox", "counted"):
        before.run(f"DROP TABLE {table}")
    before.run("INSERT INTO counts VALUES (?, 'accepted', 3)", counters.slot(datetime.now(UTC)))

    videos = SqliteVideos(tmp_path / "videos.db")
    videos.update(written)
    [change] = stream.changes(videos)
    videos.count([(change, {"accepted": 1})])

    assert change.before == written
    assert videos.counted(timedelta(hours=1)) == {"accepted": 4}


def test_what_is_counted_in_the_local_database_is_forgotten_after_two_days(tmp_path):
    videos = SqliteVideos(tmp_path / "videos.db")
    now = datetime.now(UTC)

    for video_id, age in (("old", timedelta(hours=49)), ("new", timedelta(hours=1))):
        change = Change(before=None, after=a_video(video_id), at=now - age)
        videos.count([(change, {"accepted": 1})])

    assert videos._run("SELECT change FROM counted") == [("new#0",)]
    assert videos.counted(timedelta(hours=60)) == {"accepted": 1}


def test_many_concurrent_writers_all_succeed(tmp_path):
    videos = SqliteVideos(tmp_path / "videos.db")
    jobs = SqliteJobs(tmp_path / "videos.db")
    video = videos.add(a_video("video-1"))

    def write(number: int) -> int:
        jobs.put(f"video-{number}")
        while True:
            read = videos.get(video.id)
            try:
                videos.update(read)
            except LostRace:
                continue
            return 1

    with ThreadPoolExecutor(24) as pool:
        assert sum(pool.map(write, range(80))) == 80

    assert videos.get(video.id).version == 81
    assert jobs.stats().waiting == 80
