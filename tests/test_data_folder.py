"""The data folder of the local service is readable by its owner only, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.server import Server
from support.api import completed
from videos import wiring
from videos.stores.local.disk import make_private


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def readable_by_others(folder: Path) -> dict[str, str]:
    """What is in the folder, and the folder itself, with other permissions than its owner's."""
    modes = {str(path.relative_to(folder)): path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    return {name: stat.filemode(mode) for name, mode in modes.items() if mode & 0o077}


def test_everything_in_a_new_data_folder_is_its_owners_only(call, event, clip, tmp_path):
    video_id = completed(call, event, clip())
    data = tmp_path / "data"

    assert readable_by_others(data) == {}
    kept = {path.relative_to(data).parts[0] for path in data.rglob("*")}
    assert {"objects", "incoming", "work", "secret", "videos.db", "videos.db-wal", "videos.db-shm"} <= kept
    [output] = data.glob(f"objects/outputs/{video_id}/*/540p.mp4")
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


@pytest.mark.thorough
def test_a_running_server_tightens_a_data_folder_of_yesterday(tmp_path):
    data = tmp_path / "data"
    with Server(data) as server:
        objects = data / "objects" / "uploads"
        objects.mkdir(parents=True)
        (objects / "a").write_bytes(b"a")
        server.stop()
    for path in (data, *data.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    assert "objects/uploads/a" in readable_by_others(data)

    with Server(data):
        assert set(readable_by_others(data)) <= {"server.log"}  # this test's own


def test_a_shared_folder_keeps_its_permissions_and_what_we_keep_in_it_is_private(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o1777)
    (shared / "another's").write_text("")
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(shared)})
    service.storage.ping()

    assert set(readable_by_others(shared)) == {".", "another's"}


def test_a_link_in_the_data_folder_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    elsewhere.chmod(0o644)
    (tmp_path / "data" / "objects").mkdir(parents=True)
    (tmp_path / "data" / "objects" / "link").symlink_to(elsewhere)

    make_private(tmp_path / "data")

    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644
