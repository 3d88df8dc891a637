"""What docs/api.md shows for curl and Python does what it says, run as it stands there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.client import App
from dev.server import Server
from support.snippets import snippets

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Where somebody has a clip, and nothing else."""
    shutil.copy(clip(seconds=2), tmp_path / "clip.mp4")
    return tmp_path


def test_curl_takes_every_step(server, folder):
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("needs curl and jq")
    [steps] = snippets("curl", "sh", host=f"localhost:{server.port}")

    subprocess.run(["bash", "-euo", "pipefail", "-c", steps], cwd=folder, check=True, timeout=120)

    ticket, put, form, status, metadata = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("ticket", "put", "form", "status", "metadata")
    )
    assert (status["id"], status["state"]) == (ticket["id"], "completed")
    assert (metadata["id"], metadata["specs"]["width"]) == (ticket["id"], 720)
    assert (folder / "played.mp4").read_bytes()[4:8] == b"ftyp"
    app = App(server.url)
    assert app.follow(put["id"])["state"] == app.follow(form["id"])["state"] == "completed"


def test_python_needs_no_package(server, folder):
    [program] = snippets("Python", "python", host=f"localhost:{server.port}")

    # -S: without site-packages.
    ended = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    state, url = ended.stdout.split()
    assert (state, url.rpartition("/")[2]) == ("completed", "video.mp4")
