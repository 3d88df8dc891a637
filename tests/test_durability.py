"""What the local adapters promise of a disk: kept once answered, nothing left over, clear words when full."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from videos import api, local
from videos.errors import LostRace, StorageFull
from videos.model import Video

MP4 = "video/mp4"


@pytest.fixture
def storage(tmp_path):
    return local.FolderStorage(tmp_path, "http://localhost", b"secret")


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


def test_the_last_object_takes_its_folders_along(storage, file, tmp_path):
    for key in ("outputs/v1/a/720p.mp4", "outputs/v1/b/poster.jpg", "uploads/v1"):
        storage.save(file, key, content_type=MP4)

    storage.delete("outputs/v1/a/720p.mp4")
    assert not (tmp_path / "objects/outputs/v1/a").exists()
    assert storage.stat("outputs/v1/b/poster.jpg")

    storage.delete("outputs/v1/b/poster.jpg", "uploads/v1")
    assert not list((tmp_path / "objects").iterdir())


def test_objects_come_and_go_side_by_side(storage, file):
    def come_and_go(number: int) -> None:
        for _ in range(50):
            storage.save(file, f"outputs/v1/a/{number}", content_type=MP4)
            storage.delete(f"outputs/v1/a/{number}")
        storage.save(file, f"outputs/v1/a/{number}", content_type=MP4)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))

    assert list(storage.keys("outputs/")) == [f"outputs/v1/a/{number}" for number in range(4)]


def test_an_object_is_on_the_disk_before_it_has_a_name_and_its_name_before_the_answer(
    storage, file, tmp_path, monkeypatch
):
    done = []
    fsync, rename = os.fsync, Path.rename
    names = {"objects/outputs/v1": "its folder", "objects/outputs": "above", "objects": "above", "": "above"}

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(names.get(str(path.relative_to(tmp_path)).strip("."), "the file"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", lambda path, to: [done.append("renamed"), rename(path, to)][1])

    storage.save(file, "outputs/v1/720p.mp4", content_type=MP4)

    assert done[:2] == ["the file", "renamed"]
    assert sorted(done[2:]) == ["above", "above", "above", "its folder"]


def test_a_full_disk_is_said_and_leaves_the_old_object_and_nothing_else(storage, file, tmp_path, monkeypatch):
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
    """A folder on a disk of its own, which takes 2.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", folder]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root on Linux can mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full_keeps_what_it_has_and_takes_more_once_there_is_room(small_disk, tmp_path):
    storage = local.FolderStorage(small_disk, "http://localhost", b"secret")
    megabyte = tmp_path / "megabyte"
    megabyte.write_bytes(b"x" * 1_000_000)
    kept = [storage.save(megabyte, f"uploads/v{number}", content_type=MP4).key for number in range(2)]

    with pytest.raises(StorageFull):
        storage.save(megabyte, "uploads/v2", content_type=MP4)

    assert list(storage.keys("uploads/")) == kept
    assert all(storage.path(key).read_bytes() == megabyte.read_bytes() for key in kept)
    storage.delete(kept[0])
    assert storage.save(megabyte, "uploads/another", content_type=MP4).size_bytes == 1_000_000


def test_a_temporary_folder_on_a_full_disk_says_so_too(small_disk, service):
    with (
        pytest.raises(StorageFull),
        replace(service, workspace=small_disk / "work").private_folder() as folder,
    ):
        (folder / "source").write_bytes(bytes(4_000_000))

    assert not list((small_disk / "work").iterdir())


# ── The database ─────────────────────────────────────────────────────────────────


def test_what_is_written_is_on_the_disk_when_the_answer_comes(tmp_path):
    database = local._Database(tmp_path / "videos.db", "")

    for _ in range(2):  # opened at first, borrowed then
        assert database.run("PRAGMA synchronous") == [(2,)]  # FULL
    assert database.run("PRAGMA journal_mode") == [("wal",)]


def test_a_full_database_is_said_loses_nothing_and_works_again(tmp_path, monkeypatch):
    videos = local.SqliteVideos(tmp_path / "videos.db")
    opened = local._Database._open

    def small(database: local._Database):
        connection = opened(database)
        connection.execute("PRAGMA max_page_count = 40")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(local._Database, "_open", small)
        full = local.SqliteVideos(tmp_path / "videos.db")
        kept = []
        with pytest.raises(StorageFull) as refusal:
            kept.extend(full.add(a_video(f"video-{number}")) for number in range(100))
        assert [full.get(video.id) for video in kept] == kept

    status, body, headers = api.answer(refusal.value)
    assert (status, body["code"], headers["Retry-After"]) == (507, "storage_full", "60")
    assert "what was accepted before is kept" in body["suggestions"][0]
    assert videos.add(a_video("another")).version == 1


def test_many_writers_wait_for_each_other(tmp_path):
    videos = local.SqliteVideos(tmp_path / "videos.db")
    jobs = local.SqliteJobs(tmp_path / "videos.db")
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
