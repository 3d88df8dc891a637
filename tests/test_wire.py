"""What goes over the wire, and what Lambda is told when something fails: through the real handlers."""

import json
import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

import check_health
import check_upload
import test_api
import transcode_video
from test_api import NOBODY, Context, about, ask, checked, completed, form, uploaded
from test_transcode import fake_tool
from videos import steps, views, wiring
from videos.errors import ToolFailed
from videos.model import State, Video
from videos.transcode import transcode

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

call = test_api.call  # the API, in local mode


def status_of(call, video_id: str) -> dict:
    return call("GET", f"/videos/{video_id}/status")[1]


# ── What the answers say ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "retry_after_ms"),
    [
        (State.AWAITING_UPLOAD, 1000),
        (State.QUEUED, 250),
        (State.PROCESSING, 1000),
        (State.COMPLETED, None),
        (State.REJECTED, None),
        (State.FAILED, None),
        (State.EXPIRED, None),
    ],
)
def test_an_app_is_told_when_to_come_back_for_as_long_as_something_may_change(state, retry_after_ms):
    times = dict.fromkeys(("created_at", "updated_at", "upload_expires_at"), NOON)
    video = Video(id=NOBODY, filename="cat.mp4", content_type="video/mp4", state=state, **times)

    assert views.status(video)["retry_after_ms"] == retry_after_ms


def test_the_metadata_tells_the_size_and_bit_rate_of_what_was_made(call, event, clip):
    video_id = completed(call, event, clip())

    _, answer, _ = call("GET", f"/videos/{video_id}/metadata")

    storage = wiring.service().storage
    sizes = {
        key.rpartition("/")[2]: storage.stat(key).size_bytes for key in storage.keys(f"outputs/{video_id}/")
    }
    assert len(sizes) == 5
    assert answer["storage_info"]["outputs"] == 5
    assert answer["storage_info"]["outputs_bytes"] == sum(sizes.values())
    lasting_s = answer["specs"]["duration"]
    for rendition in answer["renditions"]:
        size_bytes = sizes[f"{rendition['name']}.mp4"]
        assert (rendition["size_bytes"], rendition["bit_rate"]) == (
            size_bytes,
            round(size_bytes * 8 / lasting_s),
        )


def test_a_ticket_that_nobody_used_ends_as_expired(call):
    _, ticket, _ = ask(call)
    service = wiring.service()

    steps.recover_videos(replace(service, now=lambda: service.now() + timedelta(hours=2)))

    answer = status_of(call, ticket["id"])
    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == ("expired", "upload_expired", None)
    assert answer["error"] == "The upload ticket expired."
    assert "POST /upload" in answer["suggestions"][0]


def test_a_video_that_we_could_not_process_says_that_it_is_our_fault(call, event, clip, monkeypatch):
    monkeypatch.setenv("FFMPEG", "/no/such/ffmpeg")
    video_id = checked(call, event, clip())

    transcode_video.handler(delivered(event, video_id, receives=5), Context())

    answer = status_of(call, video_id)
    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == (
        "failed",
        "processing_failed",
        None,
    )
    assert answer["error"].startswith("It could not be processed: ffmpeg cannot be started")
    assert "not the file's" in answer["suggestions"][0]
    assert "/no/such" not in json.dumps(answer)


def test_a_check_that_cannot_be_made_now_says_when_to_try_again(call, clip, monkeypatch):
    monkeypatch.setenv("FFPROBE", "/no/such/ffprobe")
    body, kind = form(clip())

    status, answer, headers = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"], headers["Retry-After"]) == (503, "tool_failed", "2")


def test_what_will_not_change_says_no_time_to_try_again(call):
    status, _, headers = call("GET", f"/videos/{NOBODY}/status")

    assert status == 404
    assert "Retry-After" not in headers


def test_without_a_setting_urls_begin_as_the_gateway_was_called(call, monkeypatch):
    monkeypatch.delenv("PUBLIC_URL")
    wiring.http_settings.cache_clear()

    _, ticket, _ = ask(call)

    base = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1"
    assert ticket["url"] == f"{base}/videos/{ticket['id']}/video.mp4"
    assert ticket["links"]["metadata"] == f"{base}/videos/{ticket['id']}/metadata"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://one.example", "https://one.example"),
        ("https://two.example", "https://two.example"),
        ("https://evil.example", None),
    ],
)
@pytest.mark.usefixtures("call")
def test_every_allowed_origin_may_read_an_answer_and_no_other(event, monkeypatch, origin, allowed):
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://one.example, https://two.example")
    wiring.http_settings.cache_clear()
    handler = runpy.run_path(check_health.__file__)["handler"]  # read once, when Lambda loads it
    request = event("check_health")
    request["multiValueHeaders"]["Origin"] = [origin]
    request["headers"]["Origin"] = origin

    headers = handler(request, Context())["multiValueHeaders"]

    assert headers.get("Access-Control-Allow-Origin", [None]) == [allowed]


# ── What is taken in ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8", ""])
def test_json_is_read_however_it_is_announced(call, kind):
    request = {"filename": "猫.mp4", "content_type": "video/mp4", "size": 1_000_000}

    status, ticket, _ = call("POST", "/upload", json.dumps(request), Content_Type=kind)

    assert (status, ticket["state"]) == (201, "awaiting_upload")


def test_a_file_of_no_known_type_is_taken_for_video(call, clip):
    body, kind = form(clip(), kind="application/octet-stream")

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["state"]) == (201, "queued")


def test_a_file_without_a_type_is_taken_for_video(call, clip):
    body, kind = form(clip())
    body = body.replace(b"Content-Type: video/mp4\r\n", b"", 1)

    assert call("POST", "/upload", body, Content_Type=kind)[0] == 201


def test_a_file_of_another_type_is_not_taken(call, clip):
    body, kind = form(clip(), kind="image/jpeg")

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (415, "unsupported_media_type")


# ── What plays ───────────────────────────────────────────────────────────────────


def test_the_copy_plays_until_there_is_what_plays_everywhere(call, event, clip, tmp_path, monkeypatch):
    real = wiring.media_tools({})
    monkeypatch.setenv("FFMPEG", str(fake_tool(tmp_path, real.ffmpeg)))
    video_id = checked(call, event, clip(codec="libx265", sound=False, seconds=0.5))

    def plays() -> str:
        _, _, headers = call("GET", f"/videos/{video_id}/video.mp4")
        return urlsplit(headers["Location"]).path.rpartition("/")[2]

    with pytest.raises(ToolFailed):
        transcode(video_id, wiring.service())
    assert plays() == "720p-hevc.mp4"

    transcode(video_id, replace(wiring.service(), tools=real))
    assert plays() == "720p.mp4"


# ── What Lambda is told ──────────────────────────────────────────────────────────


def delivered(
    event, video_id: str, *, receives: int = 1, receipt: str = "none", message_id: str = "m1"
) -> dict:
    """The event of one job."""
    [record] = about(event("transcode_video"), video_id)["Records"]
    attributes = record["attributes"] | {"ApproximateReceiveCount": str(receives)}
    return {
        "Records": [record | {"messageId": message_id, "receiptHandle": receipt, "attributes": attributes}]
    }


def test_an_event_comes_back_when_a_check_failed_and_the_others_are_done(
    call, event, clip, tmp_path, monkeypatch
):
    monkeypatch.setenv("FFPROBE", "/no/such/ffprobe")
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(bytes(7_000_000))  # refused without ffprobe
    unchecked, refused = uploaded(call, clip()), uploaded(call, huge)
    records = [about(event("check_upload"), video_id)["Records"][0] for video_id in (unchecked, refused)]

    with pytest.raises(ToolFailed, match="ffprobe cannot be started"):
        check_upload.handler({"Records": records}, Context())

    assert status_of(call, unchecked)["state"] == "awaiting_upload"
    assert status_of(call, refused)["state"] == "rejected"


def test_a_job_that_failed_is_named_and_given_back_for_later(call, event, clip, monkeypatch):
    monkeypatch.setenv("FFMPEG", "/no/such/ffmpeg")
    video_id = checked(call, event, clip())
    jobs = wiring.service().jobs
    job = jobs.receive()

    answer = transcode_video.handler(
        delivered(event, video_id, receives=job.receives, receipt=job.receipt, message_id="m7"), Context()
    )

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m7"}]}
    assert (jobs.stats().waiting, jobs.stats().in_flight) == (1, 0)
    assert jobs.receive() is None  # not at once
    assert status_of(call, video_id)["state"] == "processing"


@pytest.mark.parametrize(("receives", "state"), [(4, "processing"), (5, "failed"), (6, "failed")])
def test_the_last_try_marks_its_video_as_failed(call, event, clip, monkeypatch, receives, state):
    monkeypatch.setenv("FFMPEG", "/no/such/ffmpeg")
    video_id = checked(call, event, clip())

    answer = transcode_video.handler(delivered(event, video_id, receives=receives), Context())

    again = state == "processing"  # else it is done, and its dead letter is there already
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}] if again else []}
    assert status_of(call, video_id)["state"] == state


def test_records_that_are_no_jobs_fail_alone(call, event, clip):
    video_id = checked(call, event, clip())
    [good] = delivered(event, video_id, message_id="good")["Records"]
    malformed = [
        good | {"body": "{"},
        good | {"body": "[]"},
        good | {"body": "{}"},
        good | {"body": None},
        good | {"body": '{"video_id": 7}'},
        good | {"attributes": {}},
        good | {"attributes": {"ApproximateReceiveCount": "often"}},
    ]
    records = [record | {"messageId": f"bad{n}"} for n, record in enumerate(malformed)]

    answer = transcode_video.handler({"Records": [*records, good]}, Context())

    named = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert named == [record["messageId"] for record in records]
    assert status_of(call, video_id)["state"] == "completed"
