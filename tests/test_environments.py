"""The local server's handlers run side by side: none waits for another, and no answers are mixed up."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from dev.client import App
from dev.server import Server
from local_aws.environments import Function, InThread
from local_aws.events import api_event
from support.api import ask
from support.processes import eventually, processes
from videos import wiring

PATIENCE_S = 20


def status_event(video_id: str) -> partial:
    path = f"/videos/{video_id}/status"
    return partial(api_event, "GET", "/videos/{video_id}/status", path, {"video_id": video_id})


def answer(reply: dict) -> dict:
    assert reply["statusCode"] == 200
    return json.loads(reply["body"])


@pytest.fixture
def reading(call) -> Function:  # noqa: ARG001 - it chooses the local adapters
    return Function([InThread("read_video") for _ in range(4)])


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """A switch of threads every few bytecodes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_an_answer_does_not_wait_for_another_of_the_same_function(call, reading, monkeypatch):
    held_id, other_id = (ask(call)[1]["id"] for _ in range(2))
    videos = wiring.service().videos
    get, reached, released = videos.get, threading.Event(), threading.Event()

    def held_get(video_id):
        if video_id == held_id:
            reached.set()
            assert released.wait(PATIENCE_S)
        return get(video_id)

    monkeypatch.setattr(videos, "get", held_get)

    async def ask_both() -> tuple[dict, dict]:
        held = asyncio.create_task(reading.invoke(status_event(held_id), b"", PATIENCE_S))
        await asyncio.to_thread(reached.wait, PATIENCE_S)
        other = await asyncio.wait_for(
            reading.invoke(status_event(other_id), b"", PATIENCE_S), PATIENCE_S / 2
        )
        assert not held.done()
        released.set()
        return answer(await held), answer(other)

    held, other = asyncio.run(ask_both())

    assert (held["id"], other["id"]) == (held_id, other_id)


@pytest.mark.usefixtures("impatient_threads")
def test_answers_of_many_threads_are_never_mixed_up(call, reading):
    """From the first request on, when resolvers build what they keep."""
    ids = [ask(call)[1]["id"] for _ in range(20)] * 10

    async def ask_all() -> list[dict]:
        return await asyncio.gather(
            *(reading.invoke(status_event(video_id), b"", PATIENCE_S) for video_id in ids)
        )

    assert [answer(reply)["id"] for reply in asyncio.run(ask_all())] == ids


# ── Forms, in a process of their own ─────────────────────────────────────────────


def sent(server: Server, clip) -> httpx.Response:
    form = {"file": ("a.mp4", clip.read_bytes(), "video/mp4")}
    return httpx.post(f"{server.url}/upload", files=form, timeout=PATIENCE_S)


@pytest.mark.thorough
def test_after_the_process_of_forms_was_killed_another_takes_its_place(tmp_path, clip):
    with Server(tmp_path) as server:
        assert sent(server, clip()).status_code == 201
        for pid in server.children("python"):
            os.kill(pid, signal.SIGKILL)

        lost = sent(server, clip())
        video = sent(server, clip())

        assert (lost.status_code, lost.json()["code"]) == (502, "internal_error")
        assert video.status_code == 201
        assert App(server.url).follow(video.json()["id"])["state"] == "completed"


@pytest.mark.thorough
@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_the_process_of_forms_ends_with_the_server(tmp_path, clip, end):
    with Server(tmp_path) as server:
        assert sent(server, clip()).status_code == 201
        children = server.children("python")
        assert children

        end(server)

        assert eventually(lambda: processes().keys().isdisjoint(children))
