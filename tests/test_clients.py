"""Clients that generators make of openapi.json make a journey, and a fuzzer that reads it finds nothing."""

import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.client import send
from dev.server import Server
from videos.web import answers

WIRE = Path(__file__).parent / "wire"
DOCUMENT = Path(answers.__file__).with_name("openapi.json")
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_client_made_by_openapi_python_client_makes_a_journey(server, clip, tmp_path, monkeypatch):
    made = ("--path", DOCUMENT, "--meta", "none", "--output-path", tmp_path / "made_client")
    run(BIN / "openapi-python-client", "generate", *made, cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("made_client").Client(server.url)
    models = importlib.import_module("made_client.models")

    def call(name: str, **arguments: object) -> object:
        return importlib.import_module(f"made_client.api.{name}").sync(client=client, **arguments)

    size = clip(seconds=2).stat().st_size
    request = models.UploadRequest(
        filename="cat.mp4", content_type="video/mp4", size=size, external_id="python"
    )
    ticket = call("upload.request_upload", body=request)
    assert isinstance(ticket, models.Ticket)
    assert send(ticket.upload.to_dict(), clip(seconds=2).read_bytes()).is_success
    status = call("videos.get_status", video_id=ticket.id)
    deadline = time.monotonic() + 60
    while not isinstance(status, models.Completed):
        assert isinstance(status, models.AwaitingUpload | models.Queued | models.Processing), status
        assert time.monotonic() < deadline
        time.sleep(status.retry_after_ms / 1000)
        status = call("videos.get_status", video_id=ticket.id)

    video = call("videos.get_video", video_id=ticket.id)
    assert (video.specs.width, video.external_id) == (720, "python")
    assert call("videos.list_videos", limit=5).videos[0].id == ticket.id
    call("videos.delete_video", video_id=ticket.id)
    gone = call("videos.get_status", video_id=ticket.id)
    assert (type(gone), gone.code) == (models.Error404, "unknown_video")


def test_a_client_made_by_openapi_typescript_makes_a_journey(server, clip, tmp_path):
    if not (shutil.which("node") and (WIRE / "node_modules").exists()):
        pytest.skip("needs npm: make test-wire")
    for name in ("journey.ts", "package.json", "tsconfig.json"):
        shutil.copy(WIRE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(WIRE / "node_modules")
    tools = WIRE / "node_modules" / ".bin"

    run(tools / "openapi-typescript", DOCUMENT, "--output", "schema.d.ts", cwd=tmp_path)
    run(tools / "tsc", cwd=tmp_path)
    told = json.loads(run("node", "journey.js", server.url, clip(seconds=2), cwd=tmp_path))

    assert told == {"progress": 100, "width": 720, "own": "ts", "gone": "unknown_video"}


@pytest.mark.parametrize("seed", ["1", "2"])
def test_schemathesis_finds_nothing(server, tmp_path, seed):
    settings = ("--url", server.url, "--seed", seed, "--max-examples", "50")
    settings += ("--exclude-path", "/events")  # its answer does not end

    told = run(
        *(BIN / "schemathesis", "--no-color", "--config-file", WIRE / "schemathesis.toml"),
        *("run", DOCUMENT, *settings),
        cwd=tmp_path,
    )

    assert "12 selected / 13 total" in told
    assert server.process.poll() is None
