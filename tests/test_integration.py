"""The journey of a clip through the public HTTP interface of a running service."""

import json
import os
import signal
import subprocess
import time
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from dev import emulator
from dev.client import App, send
from dev.clips import make_clip, probe_lines
from dev.server import Server
from support import wire
from support.processes import eventually

LIMIT_BYTES = 6_291_456


@pytest.fixture(scope="module")
def app(request, tmp_path_factory):
    """An app of the local server; with --emulator, of the stack deployed there."""
    if request.config.getoption("emulator"):
        yield held(App(request.getfixturevalue("stack").url))
    else:
        with Server(tmp_path_factory.mktemp("data")) as server:
            yield held(App(server.url))


def held(app: App) -> App:
    """The app, every answer to which is held against openapi.json."""
    base_url = str(app.http.base_url)
    app.http.event_hooks["response"] = [lambda response: wire.hold_response(response, base_url)]
    return app


here_only = pytest.mark.here_only


def refusal(response: httpx.Response) -> str:
    """S3's code for a refused upload."""
    return response.text.partition("<Code>")[2].partition("</Code>")[0]


# ── The main job ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_clip_travels_from_ticket_to_playback(app, clip, tmp_path, method):
    ticket = app.upload(clip(seconds=2), method=method)
    states = []

    status = app.follow(ticket["id"], on_status=lambda status: states.append(status["state"]))

    assert (status["state"], status["progress"], status["playable"]) == ("completed", 100, True)
    assert states == sorted(states, key=["awaiting_upload", "queued", "processing", "completed"].index)
    played = tmp_path / "played.mp4"
    played.write_bytes(httpx.get(ticket["url"], follow_redirects=True).raise_for_status().content)
    [line] = probe_lines(played, "-select_streams", "v", "-show_entries", "stream=width,height")
    assert "width=720|height=1280" in line


@pytest.mark.thorough
def test_a_clip_travels_by_the_ticket_that_uppy_asks_for(app, clip):
    query = {"filename": "cat.mp4", "type": "video/mp4", "metadata[external_id]": "draft-7"}
    ticket = app.http.get("/s3/params", params=query).raise_for_status().json()
    assert ticket["url"].endswith("/")

    assert send(ticket, clip(seconds=2).read_bytes()).is_success

    video_id = ticket["fields"]["key"].rpartition("/")[2]  # which is all that Uppy tells a page
    assert app.follow(video_id)["state"] == "completed"
    assert app.metadata(video_id)["external_id"] == "draft-7"


@pytest.mark.thorough
def test_it_plays_before_it_is_complete(app, clip):
    ticket = app.upload(clip(seconds=10))

    early = app.follow(ticket["id"], until=lambda status: status["playable"])

    assert httpx.get(ticket["url"], follow_redirects=True).headers["Content-Type"] == "video/mp4"
    assert early["state"] in ("queued", "processing", "completed")
    assert app.follow(ticket["id"])["state"] == "completed"


def test_the_check_alone_makes_it_playable(request, app, clip):
    if not request.config.getoption("emulator"):
        pytest.skip("reads the functions' log: make test-emulator")
    ticket = app.upload(clip(seconds=2))
    app.follow(ticket["id"])

    assert eventually(lambda: logged("checked", ticket["id"]))

    [line] = logged("checked", ticket["id"])
    assert (line["state"], line["playable"]) == ("queued", True)
    playable_at = datetime.fromisoformat(app.metadata(ticket["id"])["playable_at"])
    assert playable_at <= datetime.fromisoformat(line["timestamp"])


def logged(message: str, video_id: str) -> list[dict[str, Any]]:
    """The lines of the functions with this message about a video."""
    pages = emulator.client("logs").get_paginator("filter_log_events")
    events = [
        event for page in pages.paginate(logGroupName="/tiktoken/functions") for event in page["events"]
    ]
    lines = [line for event in events for line in event["message"].splitlines() if line.startswith("{")]
    found = map(json.loads, (line for line in lines if video_id in line))
    return [line for line in found if line.get("message") == message]


@pytest.mark.thorough
def test_the_metadata_tells_specs_storage_and_renditions(app, clip):
    ticket = app.upload(clip(seconds=2))
    app.follow(ticket["id"])

    answer = app.metadata(ticket["id"])

    assert (answer["specs"]["width"], answer["specs"]["height"], answer["specs"]["fps"]) == (720, 1280, 30)
    assert answer["storage_info"]["size_bytes"] == clip(seconds=2).stat().st_size
    for rendition in answer["renditions"]:
        response = httpx.get(rendition["url"], follow_redirects=True)
        assert len(response.content) == rendition["size_bytes"], rendition["name"]
    assert httpx.get(answer["poster"], follow_redirects=True).content.startswith(b"\xff\xd8")


@pytest.mark.thorough
def test_health_counts_what_happened_a_moment_later(app, clip):
    def outcomes() -> dict[str, int]:
        return app.http.get("/health").json()["performance"]["outcomes"]

    before = outcomes()
    ticket = app.upload(clip())
    app.follow(ticket["id"])
    app.http.delete(f"/videos/{ticket['id']}")

    deadline = time.monotonic() + 20
    while any(outcomes()[name] <= before[name] for name in ("uploads_requested", "completed", "deleted")):
        assert time.monotonic() < deadline, outcomes()
        time.sleep(0.2)


def test_a_form_with_the_file_is_checked_and_then_travels_on(app, clip):
    response = app.http.post("/upload", files={"file": ("cat.mp4", clip().read_bytes(), "video/mp4")})

    assert response.status_code == 201
    assert app.follow(response.json()["id"])["state"] == "completed"


def test_a_refused_clip_tells_every_reason(app, clip):
    ticket = app.upload(clip(size="1920x1080", rate="60"))

    status = app.follow(ticket["id"])

    assert status["state"] == "rejected"
    assert status["error"] == "Invalid resolution: 1920x1080"
    assert [violation["rule"] for violation in status["violations"]] == ["resolution", "frame_rate"]
    assert httpx.get(ticket["url"]).status_code == 409


@pytest.mark.thorough
def test_ten_clips_sent_at_once_all_complete(app, clip):
    tickets = [app.upload(clip(seconds=1)) for _ in range(10)]

    assert {app.follow(ticket["id"])["state"] for ticket in tickets} == {"completed"}


@pytest.mark.thorough
def test_parts_of_a_video_can_be_asked_for(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])

    part = httpx.get(ticket["url"], headers={"Range": "bytes=4-7"}, follow_redirects=True)

    assert (part.status_code, part.content) == (206, b"ftyp")


@pytest.mark.thorough
def test_head_tells_of_a_file_what_get_would_give(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])

    head, got = (httpx.request(method, ticket["url"], follow_redirects=True) for method in ("HEAD", "GET"))

    assert (head.status_code, head.content) == (200, b"")
    for name in ("Content-Type", "Content-Length", "ETag"):
        assert head.headers[name] == got.headers[name]
    assert app.http.head("/health").status_code == 200


@pytest.mark.signatures
@pytest.mark.thorough
def test_a_link_to_a_file_is_for_the_method_that_asked_for_it(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])

    for_head, for_get = (httpx.request(way, ticket["url"]).headers["Location"] for way in ("HEAD", "GET"))

    assert (httpx.head(for_head).status_code, httpx.get(for_get).status_code) == (200, 200)
    assert httpx.get(for_head).is_client_error
    assert httpx.head(for_get).is_client_error


@here_only  # an emulator tells an address of AWS
def test_an_upload_form_is_told_where_its_file_went(app, clip):
    ticket = app.ticket(clip())
    location = app.send(ticket, clip()).headers["Location"]

    assert unquote(location).endswith(f"/uploads/{ticket['id']}")
    assert httpx.get(location).status_code == 403  # it is no permission


@pytest.mark.thorough
def test_a_deleted_video_no_longer_plays(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])
    signed = httpx.get(ticket["url"]).headers["Location"]

    assert app.http.delete(f"/videos/{ticket['id']}").status_code == 204

    assert httpx.get(ticket["url"]).status_code == 404
    assert httpx.get(signed).status_code == 404


# ── What storage refuses by itself ───────────────────────────────────────────────


def test_storage_takes_the_very_limit_and_not_a_byte_more(app, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")

    assert send(app.ticket(clip)["upload"], bytes(LIMIT_BYTES)).status_code == 204
    assert refusal(send(app.ticket(clip)["upload"], bytes(LIMIT_BYTES + 1))) == "EntityTooLarge"


@here_only
def test_storage_refuses_a_file_of_an_unknown_length_at_the_limit_too(app, clip):
    upload = app.ticket(clip())["upload"]
    boundary = b"b"
    form = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode())
        for name, value in upload["fields"].items()
    )
    form += b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def chunks():
        yield form
        for _ in range(8):
            yield bytes(1024**2)
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    assert refusal(httpx.post(upload["url"], content=chunks(), headers=headers)) == "EntityTooLarge"


def test_storage_refuses_another_type_than_the_ticket_says(app, clip):
    post = app.ticket(clip())["upload"]
    put = app.ticket(clip(), method="PUT")["upload"]
    post["fields"]["Content-Type"] = "image/jpeg"
    put["headers"]["Content-Type"] = "image/jpeg"

    assert refusal(send(post, b"x")) == "AccessDenied"
    assert refusal(send(put, b"x")) == "SignatureDoesNotMatch"


@here_only
def test_a_refusal_of_storage_is_xml_as_in_s3(app, clip):
    upload = app.ticket(clip())["upload"] | {"fields": {}}

    assert send(upload, b"x").headers["Content-Type"].startswith("application/xml")


def test_storage_refuses_another_key_than_the_ticket_says(app, clip):
    upload = app.ticket(clip())["upload"]
    upload["fields"]["key"] = "uploads/somebody-else"

    assert refusal(send(upload, b"x")) == "AccessDenied"


@pytest.mark.signatures
def test_storage_refuses_a_changed_policy(app, clip):
    upload = app.ticket(clip())["upload"]
    other = app.ticket(clip())["upload"]
    upload["fields"]["policy"] = other["fields"]["policy"]
    upload["fields"]["key"] = other["fields"]["key"]

    assert refusal(send(upload, b"x")) == "SignatureDoesNotMatch"


def test_an_exact_size_takes_that_size_only(app, clip):
    ticket = app.ticket(clip(), method="PUT", exact_size=True)

    assert refusal(
        httpx.put(ticket["upload"]["url"], content=b"x", headers={"Content-Type": "video/mp4"})
    ) == ("SignatureDoesNotMatch")
    assert send(ticket["upload"], clip().read_bytes()).status_code == 200


@pytest.mark.thorough
def test_an_oversize_put_is_caught_by_the_check(app, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    ticket = app.ticket(clip, method="PUT")

    assert send(ticket["upload"], bytes(LIMIT_BYTES + 1)).status_code == 200

    assert app.follow(ticket["id"])["violations"][0]["rule"] == "size"


@pytest.mark.signatures
@pytest.mark.thorough
def test_a_playback_link_cannot_be_bent_to_another_file(app, clip):
    ticket = app.upload(clip())
    app.follow(ticket["id"])
    signed = httpx.get(ticket["url"]).headers["Location"]

    assert httpx.get(signed).status_code == 200
    assert httpx.get(signed.replace("/outputs/", "/uploads/")).status_code == 403
    assert httpx.get(signed.replace("720p.mp4", "../../../secret")).status_code in (403, 404)
    assert httpx.get(signed.partition("?")[0]).status_code == 403


# ── Errors in the usual shape ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        # MiniStack knows no gateway responses; API Gateway itself says 404 for a wrong method, too.
        pytest.param("GET", "/nowhere", 404, "unknown_route", marks=here_only),
        pytest.param("GET", "/upload", 405, "method_not_allowed", marks=here_only),
        pytest.param("PUT", "/health", 405, "method_not_allowed", marks=here_only),
        ("GET", "/videos/none/status", 404, "unknown_video"),
        ("DELETE", "/videos/none", 404, "unknown_video"),
        ("POST", "/upload", 400, "bad_request"),
    ],
)
def test_an_error_says_what_and_what_to_do(app, method, path, status, code):
    response = app.http.request(method, path)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["error"]
    assert response.json()["suggestions"]


@here_only
def test_a_form_over_what_the_gateway_carries_is_sent_to_a_ticket(app):
    response = app.http.post("/upload", files={"file": ("big.mp4", bytes(5_000_000), "video/mp4")})

    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert "ticket" in response.json()["suggestions"][0]


# ── It may be killed at any time ─────────────────────────────────────────────────


@pytest.mark.thorough
@here_only
def test_a_server_killed_in_the_middle_of_a_transcode_finishes_the_video_later(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", seconds=12)
    with Server(tmp_path / "data") as first:
        app = App(first.url)
        ticket = app.upload(clip)
        app.follow(
            ticket["id"], until=lambda status: status["state"] == "processing" and status["progress"] > 5
        )
        first.kill()

    with Server(tmp_path / "data", port=first.port):
        status = app.follow(ticket["id"])

    assert (status["state"], status["progress"]) == ("completed", 100)


@pytest.mark.thorough
@here_only
def test_twelve_kills_of_the_server_fail_none_of_24_clips_in_work(tmp_path, clip):
    with Server(tmp_path / "data") as server:
        app = App(server.url)
        ids = [app.upload(clip())["id"] for _ in range(24)]
        for _ in range(12):
            first_in_work(app, ids)
            server.kill()
            server.start()
        ended = {app.follow(video_id, timeout_s=240)["state"] for video_id in ids}

    assert ended == {"completed"}


def first_in_work(app: App, ids: list[str]) -> None:
    """Wait until one of them is being transcoded."""
    waiting = list(ids)
    while waiting:
        state = app.status(waiting[0])["state"]
        if state == "processing":
            return
        if state == "completed":
            waiting.pop(0)
        else:
            waiting.append(waiting.pop(0))
            time.sleep(0.01)  # asks that storm would keep the server from its work


@pytest.mark.thorough
@here_only
def test_an_ffmpeg_that_is_killed_is_run_again(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", seconds=12)
    with Server(tmp_path / "data") as server:
        app = App(server.url)
        ticket = app.upload(clip)
        seen = []
        app.follow(
            ticket["id"], until=lambda status: status["state"] == "processing" and status["progress"] > 5
        )
        for pid in server.children("ffmpeg"):
            os.kill(pid, signal.SIGKILL)
        status = app.follow(ticket["id"], on_status=lambda status: seen.append(status["progress"]))

    assert status["state"] == "completed"
    assert seen == sorted(seen)
    assert "killed by signal 9" in server.log.read_text()


@here_only
def test_a_server_asked_to_stop_ends_well_and_keeps_everything(tmp_path, clip):
    with Server(tmp_path / "data") as server:
        app = App(server.url)
        ticket = app.upload(clip())
        app.follow(ticket["id"])
        before = app.metadata(ticket["id"])
        assert server.stop() == 0

    with Server(tmp_path / "data", port=server.port):
        assert app.metadata(ticket["id"]) == before


@here_only
def test_a_second_server_on_the_same_folder_says_so(tmp_path):
    with Server(tmp_path), pytest.raises(subprocess.SubprocessError, match="Another server"):
        Server(tmp_path).start()
