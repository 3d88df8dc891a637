"""What a newcomer types first, and a service that stays well while it works."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path

import httpx
import pytest

from dev.client import App
from dev.clips import make_clip
from dev.server import Server

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running


PYTHONPATH = {"PYTHONPATH": f"{PROJECT / 'functions'}:{PROJECT}"}


def command(server: Server, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "dev.demo", "--port", str(server.port), *map(str, arguments)]


def demo(server: Server, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *arguments),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | PYTHONPATH | environment,
    )


def test_the_demo_of_a_good_clip_ends_with_its_metadata_and_where_it_plays(server, clip):
    ended = demo(server, clip())

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert '"width": 720' in ended.stdout
    assert "100%" in ended.stdout
    assert f"The file: {server.url}/videos/" in ended.stdout
    assert re.search(rf"^The page: {server.url}/#[0-9a-f-]{{36}}$", ended.stdout, re.MULTILINE)


def test_the_demo_of_a_refused_clip_ends_with_every_reason(server, clip):
    refused = clip(size="1920x1080", rate="60")

    ended = demo(server, refused)

    assert ended.returncode == 1
    assert "Invalid resolution: 1920x1080" in ended.stdout
    assert "Invalid frame rate: 60 fps" in ended.stdout
    assert "iPhone" in ended.stdout
    assert f"ffmpeg -i {refused} -map 0:0 -map '0:a:0?'" in ended.stdout


def test_the_demo_of_a_missing_file_says_so(server):
    ended = demo(server, "no-such-clip.mp4")

    assert ended.returncode == 2
    assert "there is no file no-such-clip.mp4" in ended.stderr


@pytest.mark.parametrize("variable", ["CI", "ONCE"])
def test_the_demo_starts_the_service_if_none_answers(tmp_path, clip, variable):
    idle = Server(tmp_path)  # a free port, and nothing on it

    ended = demo(idle, clip(), "--data", tmp_path / "data", **{"CI": "", variable: "1"})

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"Service started on {idle.url}" in ended.stdout
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{idle.url}/health")


def test_the_page_of_the_demo_can_be_opened_until_ctrl_c(tmp_path, clip):
    idle = Server(tmp_path)
    environment = os.environ | PYTHONPATH | {"CI": "", "ONCE": "", "PYTHONUNBUFFERED": "1"}

    with subprocess.Popen(
        command(idle, clip(), "--data", tmp_path / "data"),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as running:
        try:
            assert running.stdout
            lines = iter(running.stdout.readline, "")
            [page] = [
                line for line in takewhile(lambda line: "Ctrl-C" not in line, lines) if "The page" in line
            ]
            address, _, video_id = page.split()[-1].partition("#")
            shown = httpx.get(address)
            status = httpx.get(f"{idle.url}/videos/{video_id}/status").json()
        finally:
            os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the service, too
        assert running.wait(timeout=30) == 0

    assert shown.headers["Content-Type"].startswith("text/html")
    assert status["state"] == "completed"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{idle.url}/health")


@pytest.mark.thorough
def test_system_stability_flow(server, clip, tmp_path):
    """Good, bad and broken clips at once, read all the while: all end as they should, health stays ok."""
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip().read_bytes()[:20_000])
    other = tmp_path / "notes.mp4"
    other.write_text("This is no video. " * 100)
    wanted = {clip(): "completed", clip(size="640x480"): "rejected", broken: "rejected", other: "rejected"}
    sent = [path for path in wanted for _ in range(3)]

    def journey(path: Path) -> str:
        app = App(server.url)
        ticket = app.upload(path)
        progress: list[int] = []
        status = app.follow(ticket["id"], on_status=lambda status: progress.append(status["progress"]))
        assert progress == sorted(progress)
        assert app.metadata(ticket["id"])["state"] == status["state"]
        return status["state"]

    with ThreadPoolExecutor(len(sent)) as apps:
        ends = list(apps.map(journey, sent))

    assert ends == [wanted[path] for path in sent]
    health = httpx.get(f"{server.url}/health").raise_for_status().json()
    assert health["status"] == "ok"
    assert health["stability"]["dead_jobs"] == 0
    assert health["resources"]["peak_memory_bytes"] < 350_000_000
    assert not list((server.data / "work").iterdir())


@pytest.mark.thorough
def test_a_clip_made_by_the_demo_itself_passes(server, tmp_path):
    app = App(server.url)

    ticket = app.upload(make_clip(tmp_path / "sample.mp4", seconds=3))

    assert app.follow(ticket["id"])["state"] == "completed"
