"""Webhooks of the local server, over real sockets: its settings, and slow, failing and absent receivers."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from dev.client import App
from dev.server import Server
from support.processes import eventually
from support.receiver import Receiver
from videos import wiring

SECRET = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
OTHER = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
PROJECT = Path(__file__).parent.parent

pytestmark = [pytest.mark.thorough, pytest.mark.here_only]


@pytest.fixture
def receiver(monkeypatch):
    with Receiver() as receiver:
        monkeypatch.setenv("WEBHOOK_URL", receiver.url)
        monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
        yield receiver


def told(receiver: Receiver, secret: str = SECRET) -> list[tuple[str, str]]:
    """Type and video of what arrived, verified."""
    events = [Webhook(secret).verify(call.body, call.headers) for call in receiver.calls]
    return [(event["type"], event["data"]["id"]) for event in events]


def test_a_backend_is_told_of_each_video_as_it_happens(tmp_path, clip, receiver):
    with Server(tmp_path) as server:
        app = App(server.url)
        good, bad = app.upload(clip())["id"], app.upload(clip(size="360x640"))["id"]
        app.follow(good)
        app.follow(bad)
        app.http.delete(f"/videos/{good}")

        assert eventually(lambda: len(told(receiver)) == 4)
    assert [kind for kind, video in told(receiver) if video == good] == [
        "video.playable",
        "video.completed",
        "video.deleted",
    ]
    assert [kind for kind, video in told(receiver) if video == bad] == ["video.rejected"]
    bodies = {json.loads(call.body)["id"]: call.headers["webhook-id"] for call in receiver.calls}
    assert all(name == header for name, header in bodies.items())


def test_with_two_secrets_each_verifies(tmp_path, clip, receiver, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", f"{OTHER},{SECRET}")
    with Server(tmp_path) as server:
        App(server.url).upload(clip())
        assert eventually(lambda: receiver.calls)

    assert told(receiver, SECRET) == told(receiver, OTHER)


def test_without_a_secret_it_signs_with_one_of_its_folder_and_prints_it(
    tmp_path, clip, receiver, monkeypatch
):
    monkeypatch.delenv("WEBHOOK_SECRET")
    monkeypatch.setenv("WEBHOOK_URL", f"{receiver.url}?key=sesame")
    with Server(tmp_path) as server:
        App(server.url).upload(clip())
        assert eventually(lambda: receiver.calls)

    [line] = [line for line in server.log.read_text().splitlines() if "Webhooks go to" in line]
    secret = line.rpartition(" ")[2]
    assert line == f"Webhooks go to {receiver.url}, signed with {secret}"
    assert told(receiver, secret)
    assert receiver.calls[0].path.endswith("?key=sesame")
    assert "sesame" not in server.log.read_text()
    again = wiring.make_service(
        {"STORAGE_MODE": "local", "LOCAL_FOLDER": str(tmp_path), "WEBHOOK_URL": receiver.url}
    )
    assert again.receiver
    assert again.receiver.secrets == (secret,)


def test_receivers_that_hang_hold_up_neither_videos_nor_other_events(tmp_path, clip, receiver):
    first: list[str] = []

    def hangs_for_the_first_video(call, _):
        first.append(json.loads(call.body)["data"]["id"])
        if first[-1] == first[0]:
            receiver.over.wait(30)
        return 200

    receiver.behave = hangs_for_the_first_video
    with Server(tmp_path) as server:
        app = App(server.url)
        hung = app.upload(clip())["id"]
        assert eventually(lambda: receiver.calls)
        others = [app.upload(clip())["id"] for _ in range(2)]
        for video in (hung, *others):
            assert app.follow(video)["state"] == "completed"
        finished = {("video.completed", video) for video in others}
        assert eventually(lambda: finished <= set(told(receiver)), within_s=60)
        receiver.over.set()


def test_what_a_receiver_was_not_there_for_arrives_when_it_is_even_if_the_server_was_killed(
    tmp_path, clip, monkeypatch
):
    with Receiver() as receiver:
        port = receiver.port
    monkeypatch.setenv("WEBHOOK_URL", f"http://localhost:{port}/")
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    server = Server(tmp_path).start()
    app = App(server.url)
    video = app.upload(clip())["id"]
    app.follow(video)
    assert eventually(lambda: server.log.read_text().count("webhook attempted") >= 2)
    server.kill()

    with Receiver(port=port) as receiver, Server(tmp_path):
        assert eventually(lambda: len(receiver.calls) >= 2, within_s=60)
        assert set(told(receiver)) == {("video.playable", video), ("video.completed", video)}


@pytest.mark.parametrize("variable", ["WEBHOOK_URL", "WEBHOOK_SECRET"])
@pytest.mark.parametrize(
    "value", ["$(touch pwned)", "$(shell touch pwned)", "`touch pwned`", "'; touch pwned; '"]
)
def test_make_run_hands_over_what_it_is_given_and_runs_nothing_of_it(tmp_path, variable, value):
    """Both end with a sentence about it: it has arrived."""
    (tmp_path / "functions").symlink_to(PROJECT / "functions")
    ready = [f"BIN={Path(sys.executable).parent}", "RUN_READY="]
    command = [
        "make",
        "-f",
        PROJECT / "Makefile",
        "run",
        *ready,
        "PORT=0",
        "DATA=data",
        f"{variable}={value}",
    ]
    given = {"WEBHOOK_URL": "https://app.example/"} | {variable: value}

    ran = subprocess.run(
        command, cwd=tmp_path, env=os.environ | given, capture_output=True, text=True, check=False, timeout=60
    )

    assert f"{variable} " in ran.stderr
    assert not list(tmp_path.rglob("pwned"))
