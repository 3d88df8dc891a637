"""GET /events of the local server: over real sockets, to a server in a process of its own."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from dev.client import App
from dev.server import Server
from support.issuer import AUDIENCE, Issuer
from support.listening import listening
from support.processes import eventually
from support.samples import an_event
from support.sockets import connected, request
from videos.stores.local.announcements import SqliteAnnouncements

FUNCTIONS = Path(__file__).parent.parent / "functions"
RESTLESS = f"""
import sys; sys.path.insert(0, {str(FUNCTIONS)!r})
import local_server
from local_aws import sse
sse.HEARTBEAT_S = 0.05
sse.LONGEST_S = 0.5
local_server.main()
"""
TICKET = {"filename": "a.mp4", "content_type": "video/mp4", "size": 1000}

pytestmark = pytest.mark.here_only


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def deleted(server: Server, token: str = "") -> str:
    """The id of a video that was registered and deleted: that is one event."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    video_id: str = httpx.post(f"{server.url}/upload", json=TICKET, headers=headers).json()["id"]
    assert httpx.delete(f"{server.url}/videos/{video_id}", headers=headers).status_code == 204
    return video_id


def of(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["type"], event["data"]["id"]) for event in events]


def test_whoever_listens_is_told_of_what_happens_and_of_nothing_before(server):
    deleted(server)
    with listening(server.url, "0") as earlier:
        earlier.events(1)
    with listening(server.url) as first, listening(server.url) as second:
        video_id = deleted(server)

        frames = [first.next(), second.next()]

    assert [of([frame.data]) for frame in frames] == [[("video.deleted", video_id)]] * 2
    assert frames[0].last_id == frames[1].last_id != first.first.last_id


def test_who_comes_back_goes_on_after_the_last_id(server):
    with listening(server.url) as stream:
        position = stream.first.last_id
        missed = [deleted(server) for _ in range(3)]
        assert of(stream.events(1)) == [("video.deleted", missed[0])]
        middle = stream.next().last_id

    with listening(server.url, position) as again, listening(server.url, middle) as later:
        assert of(again.events(3)) == [("video.deleted", one) for one in missed]
        assert of(later.events(1)) == [("video.deleted", missed[2])]


@pytest.mark.thorough
def test_who_comes_back_too_late_is_told_so_and_gets_what_is_kept(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db", kept_events=3)
    for version in range(1, 8):
        log.announce([an_event("v1", version)])
    kept = ["v1-5", "v1-6", "v1-7"]

    with Server(tmp_path) as server:
        for unknown in ("1", "3", "8", "999999"):
            with listening(server.url, unknown) as stream:
                assert stream.next("reset").last_id == "4", unknown
                assert [event["id"] for event in stream.events(3)] == kept
        with listening(server.url, "4") as stream:
            assert [event["id"] for event in stream.events(3)] == kept
        with listening(server.url, "7") as stream:
            assert stream.first.last_id == "7"


@pytest.mark.parametrize("last_id", ["a", "-1", "1.5", "9" * 19, "١", "1, 2"])
def test_an_id_that_no_event_has_is_a_400(server, last_id):
    answer = httpx.get(f"{server.url}/events", headers={"Last-Event-ID": last_id.encode()})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


def test_the_head_of_a_stream_is_told_without_one(server):
    answer = httpx.head(f"{server.url}/events")

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"


def test_nothing_else_may_be_done_with_events(server):
    assert httpx.post(f"{server.url}/events").json()["code"] == "method_not_allowed"
    assert httpx.get(f"{server.url}/events/1").json()["code"] == "unknown_route"


def test_a_page_of_another_origin_may_listen(server):
    answer = httpx.options(
        f"{server.url}/events",
        headers={
            "Origin": "http://localhost:3000",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization,last-event-id",
        },
    )

    assert answer.status_code == 200
    assert {"authorization", "last-event-id"} <= set(
        answer.headers["Access-Control-Allow-Headers"].lower().split(",")
    )


@pytest.mark.thorough
def test_with_tokens_owners_are_told_of_their_own_videos_alone(tmp_path, monkeypatch):
    with Issuer() as issuer:
        monkeypatch.setenv("JWT_ISSUER", issuer.url)
        monkeypatch.setenv("JWT_AUDIENCE", AUDIENCE)
        alice, bob = issuer.token(), issuer.token(sub="bob")
        with Server(tmp_path) as server:
            refused = httpx.get(f"{server.url}/events")
            with listening(server.url, token=alice) as hers, listening(server.url, token=bob) as his:
                first, second, third = (deleted(server, token) for token in (alice, bob, alice))

                assert of(hers.events(2)) == [("video.deleted", first), ("video.deleted", third)]
                assert of(his.events(1)) == [("video.deleted", second)]
            with listening(server.url, "0", token=bob) as again:
                assert of(again.events(1)) == [("video.deleted", second)]

    assert (refused.status_code, refused.json()["code"]) == (401, "token_missing")


@pytest.mark.thorough
def test_progress_is_told_beside_the_events(server, clip):
    app = App(server.url)
    with listening(server.url) as stream:
        video_id = app.upload(clip(seconds=4))["id"]

        playable = stream.next()
        progress = stream.next("progress")
        completed = stream.next()

    assert of([playable.data, completed.data]) == [
        ("video.playable", video_id),
        ("video.completed", video_id),
    ]
    assert playable.data["data"]["url"] == f"{server.url}/videos/{video_id}/video.mp4"
    assert progress.last_id == playable.last_id
    assert set(progress.data) == {"id", "state", "progress", "time_left_ms"}
    assert (progress.data["id"], progress.data["state"]) == (video_id, "processing")
    assert completed.data["data"]["version"] > playable.data["data"]["version"]


# ── What an open stream takes ────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def restless(tmp_path_factory) -> Iterator[Server]:
    """Its heart beats fast, and no stream lasts long."""
    with Server(tmp_path_factory.mktemp("restless"), program=("-c", RESTLESS)) as server:
        yield server


def test_an_idle_stream_has_a_heartbeat_and_ends_some_day(restless):
    with listening(restless.url) as stream:
        stream.next("comment")
        with pytest.raises(StopIteration):
            stream.next()


def threads_of(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"^Threads:\s+(\d+)", status, re.MULTILINE)[0])


@pytest.mark.thorough
def test_a_hundred_streams_may_be_open_and_take_no_threads(tmp_path):
    with Server(tmp_path) as server, ExitStack() as streams:
        httpx.get(f"{server.url}/health")
        before = threads_of(server)
        listeners = [streams.enter_context(listening(server.url)) for _ in range(100)]

        refused = httpx.get(f"{server.url}/events")
        video_id = deleted(server)

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert {json.dumps(of(listener.events(1))) for listener in listeners} == {
            json.dumps([("video.deleted", video_id)])
        }
        assert threads_of(server) <= before + 6  # the handlers' own, which start with the first request
        streams.close()
        assert eventually(lambda: httpx.head(f"{server.url}/events").status_code == 200)
        with listening(server.url) as stream:
            assert stream.first


@pytest.mark.thorough
def test_who_does_not_read_holds_up_nobody_and_fills_no_memory(tmp_path):
    log = SqliteAnnouncements(tmp_path / "videos.db")
    log.announce([an_event(f"v{number}", 1, says="x" * 10_000) for number in range(5_000)])  # 50 MB
    with Server(tmp_path) as server, ExitStack() as sockets:
        with listening(server.url) as stream:
            before = memory_of(server)
            for _ in range(20):
                sock = sockets.enter_context(connected(server))
                sock.sendall(request("GET /events", Last_Event_ID="1"))

            video_id = deleted(server)

            assert of(stream.events(1)) == [("video.deleted", video_id)]
        assert memory_of(server) - before < 100_000_000  # a page of a hundred for each


def memory_of(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024


@pytest.mark.thorough
def test_ctrl_c_waits_for_no_stream(tmp_path):
    with Server(tmp_path) as server, listening(server.url) as stream:
        status = server.stop()

        with pytest.raises(StopIteration):
            stream.next()

    assert status == 0
    assert "timeout graceful shutdown exceeded" not in server.log.read_text()
