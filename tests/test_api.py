"""The handlers, called with the events that AWS sends: what comes in, what goes out, and every refusal."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

import check_health
import check_upload
import read_video
import recover_videos
import request_upload
import transcode_video
from videos import health, wiring

NOBODY = "0192d3a4-5b6c-7d8e-9f01-23456789abcd"


class Context:
    """What Powertools reads of a Lambda context."""

    function_name = "test"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:test"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


@pytest.fixture
def call(tmp_path, monkeypatch, event) -> Callable[..., tuple[int, Any, dict]]:
    """Call the API in local mode: ``call("GET", "/health") -> (status, JSON or None, headers)``."""
    monkeypatch.setenv("STORAGE_MODE", "local")
    monkeypatch.setenv("LOCAL_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("PUBLIC_URL", "http://localhost:8000")
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()

    def call(method: str, path: str, body: str | bytes | None = None, **headers: str):
        path, _, query = path.partition("?")
        request = event("read_video") | {
            "httpMethod": method,
            "path": path,
            "resource": path,
            "pathParameters": None,
            "queryStringParameters": dict(parse_qsl(query)) or None,
        }
        request["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
        request["multiValueHeaders"] = {name: [value] for name, value in request["headers"].items()}
        if isinstance(body, bytes):
            request |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
        else:
            request |= {"body": body}
        module = (
            request_upload
            if path in ("/upload", "/preflight")
            else check_health
            if path == "/health"
            else read_video
        )
        answer = module.handler(request, Context())
        told = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        return answer["statusCode"], json.loads(answer["body"]) if answer.get("body") else None, told

    yield call
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()


def ask(call, **wanted):
    request = {"filename": "cat.mp4", "content_type": "video/mp4", "size": 1_000_000} | wanted
    return call("POST", "/upload", json.dumps(request), Content_Type="application/json")


def form(
    clip: Path, *, name: str = "cat.mp4", kind: str = "video/mp4", field: str = "file"
) -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    head += f"Content-Type: {kind}\r\n\r\n"
    return head.encode() + clip.read_bytes() + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def uploaded(call, clip: Path) -> str:
    """The id of a video whose file is in storage, with no event fired yet."""
    _, ticket, _ = ask(call)
    wiring.service().storage.save(clip, f"uploads/{ticket['id']}", content_type="video/mp4")
    return ticket["id"]


def checked(call, event, clip: Path) -> str:
    video_id = uploaded(call, clip)
    check_upload.handler(about(event("check_upload"), video_id), Context())
    return video_id


def completed(call, event, clip: Path) -> str:
    video_id = checked(call, event, clip)
    assert transcode_video.handler(about(event("transcode_video"), video_id), Context()) == {
        "batchItemFailures": []
    }
    return video_id


def about(event: dict, video_id: str) -> dict:
    return json.loads(json.dumps(event).replace(NOBODY, video_id))


# ── POST /upload ─────────────────────────────────────────────────────────────────


def test_a_ticket_tells_everything_the_app_needs(call):
    status, ticket, _ = ask(call)

    assert status == 201
    assert list(ticket) == ["id", "url", "state", "upload", "links"]
    assert ticket["state"] == "awaiting_upload"
    assert ticket["url"] == f"http://localhost:8000/videos/{ticket['id']}/video.mp4"
    assert ticket["links"]["status"] == f"http://localhost:8000/videos/{ticket['id']}/status"
    assert set(ticket["upload"]) == {"method", "url", "fields", "headers", "expires_at", "max_bytes"}
    assert ticket["upload"]["method"] == "POST"
    assert ticket["upload"]["max_bytes"] == 6_291_456


def test_a_put_ticket_names_its_headers(call):
    _, ticket, _ = ask(call, method="PUT")

    assert ticket["upload"]["method"] == "PUT"
    assert ticket["upload"]["headers"] == {"Content-Type": "video/mp4"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("[]", "Expected `object`"),
        ("null", "Expected `object`"),
        ("{}", "`filename`"),
        ('{"filename": "a.mp4"}', "`content_type`"),
        ('{"filename": "a.mp4", "content_type": "video/mp4"}', "`size`"),
        ('{"filename": "a.mp4", "content_type": "video/mp4", "size": "big"}', "$.size"),
        ('{"filename": 7, "content_type": "video/mp4", "size": 1}', "$.filename"),
        ('{"filename": "a.mp4", "content_type": "video/mp4", "size": 1, "method": "PATCH"}', "$.method"),
    ],
)
def test_a_request_that_does_not_fit_is_told_where(call, body, word):
    status, answer, _ = call("POST", "/upload", body, Content_Type="application/json")

    assert (status, answer["code"]) == (400, "bad_request")
    assert word in answer["error"]
    assert answer["suggestions"]


def test_a_body_of_another_type_is_refused(call):
    status, answer, _ = call("POST", "/upload", "a=b", Content_Type="application/x-www-form-urlencoded")

    assert (status, answer["code"]) == (415, "unsupported_media_type")


def test_a_picture_gets_no_ticket(call):
    status, answer, _ = ask(call, content_type="image/jpeg")

    assert (status, answer["code"]) == (415, "unsupported_media_type")
    assert "video/mp4" in answer["suggestions"][0]


def test_a_file_declared_too_large_is_refused_as_it_will_be(call):
    status, answer, _ = ask(call, size=7_000_000)

    assert (status, answer["code"]) == (422, "video_refused")
    assert answer["error"] == "Invalid file size: 7,000,000 bytes"
    assert [violation["rule"] for violation in answer["violations"]] == ["size"]


def test_a_form_is_checked_at_once(call, clip):
    body, kind = form(clip())

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert status == 201
    assert list(answer)[:3] == ["id", "url", "specs"]
    assert list(answer["specs"])[:4] == ["width", "height", "fps", "duration"]
    assert (answer["specs"]["width"], answer["specs"]["height"], answer["specs"]["fps"]) == (720, 1280, 30.0)
    assert call("GET", f"/videos/{answer['id']}/status")[1]["state"] == "queued"


def test_a_bad_form_file_is_refused_with_every_reason(call, clip):
    body, kind = form(clip(size="1920x1080", rate="60"))

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (422, "video_refused")
    assert answer["error"] == "Invalid resolution: 1920x1080"
    assert [violation["rule"] for violation in answer["violations"]] == ["resolution", "frame_rate"]
    assert set(answer["violations"][0]) == {"rule", "found", "expected", "message", "suggestions"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=b"),
        (b"rubbish", "multipart/form-data; boundary=b"),
        (b"--b\r\n", "multipart/form-data"),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
    ],
    ids=["empty", "rubbish", "no boundary", "no file"],
)
def test_a_form_without_a_file_is_told_so(call, body, kind):
    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["suggestions"]


@pytest.mark.parametrize("seconds", [-1, 60.2, 1e300])
def test_a_poster_of_a_moment_that_no_clip_has_is_refused(call, seconds):
    status, answer, _ = ask(call, poster_time=seconds)

    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["error"].startswith("Invalid poster time")


def test_the_poster_time_of_a_ticket_stands_in_the_metadata(call):
    _, ticket, _ = ask(call, poster_time=1.5)

    assert call("GET", f"/videos/{ticket['id']}/metadata")[1]["poster_time"] == 1.5


def with_field(body: bytes, name: str, value: str) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() + body


def test_a_form_may_name_the_poster_time(call, clip):
    body, kind = form(clip())

    _, answer, _ = call("POST", "/upload", with_field(body, "poster_time", "0.5"), Content_Type=kind)

    assert call("GET", f"/videos/{answer['id']}/metadata")[1]["poster_time"] == 0.5


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_a_form_with_a_poster_time_that_makes_no_sense_is_told_so(call, clip, value):
    body, kind = form(clip())

    status, answer, _ = call("POST", "/upload", with_field(body, "poster_time", value), Content_Type=kind)

    assert (status, answer["code"]) == (400, "bad_request")
    assert "poster_time" in answer["suggestions"][0] or "seconds" in answer["suggestions"][0]


# ── POST /preflight ──────────────────────────────────────────────────────────────


def preflight(call, **known):
    return call("POST", "/preflight", json.dumps(known), Content_Type="application/json")


def test_a_clip_that_fits_is_told_so_and_what_only_the_file_can_show(call):
    status, answer, _ = preflight(
        call, size=1_000_000, duration=10, width=720, height=1280, fps=30, codec="avc1"
    )

    assert status == 200
    assert answer == {
        "accepted": True,
        "violations": [],
        "unjudged": ["content", "integrity", "color"],
        "fitting_bit_rate": 4_000_000,
    }


def test_a_clip_that_does_not_fit_is_told_everything_before_it_is_sent(call):
    hdr = {"color_primaries": "bt2020", "color_transfer": "arib-std-b67", "color_space": "bt2020nc"}

    _, answer, _ = preflight(
        call, size=9_000_000, duration=75, width=1080, height=1920, fps=60, codec="vp9", **hdr
    )

    assert not answer["accepted"]
    assert [violation["rule"] for violation in answer["violations"]] == [
        "resolution", "frame_rate", "codec", "color", "duration", "size",
    ]  # fmt: skip
    assert answer["violations"][0]["message"] == "Invalid resolution: 1080x1920"
    assert "iPhone" in " ".join(answer["violations"][0]["suggestions"])


def test_a_turned_clip_counts_as_displayed(call):
    assert preflight(call, width=1280, height=720, rotation=90)[1]["accepted"]
    assert preflight(call, width=1280, height=720, rotation=-90)[1]["accepted"]
    assert not preflight(call, width=1280, height=720)[1]["accepted"]


@pytest.mark.parametrize("name", ["avc1", "H264", "video/avc", "hvc1", "HEVC", "video/hevc"])
def test_a_codec_may_be_called_as_phones_call_it(call, name):
    assert preflight(call, codec=name)[1]["accepted"]


def test_the_bit_rate_that_fits_is_told_for_the_length(call):
    rate = preflight(call, duration=60)[1]["fitting_bit_rate"]

    assert 600_000 < rate < 800_000
    assert (rate + 96_000) * 60 / 8 < 6_291_456


def test_nothing_known_is_nothing_judged(call):
    _, answer, _ = preflight(call)

    assert answer["accepted"]
    assert len(answer["unjudged"]) == 8
    assert answer["fitting_bit_rate"] is None


@pytest.mark.parametrize("wrong", [{"width": "720"}, {"size": 1.5}, {"fps": [30]}, {"codec": 264}])
def test_a_preflight_that_does_not_fit_is_told_where(call, wrong):
    status, answer, _ = preflight(call, **wrong)

    assert (status, answer["code"]) == (400, "bad_request")
    assert f"$.{next(iter(wrong))}" in answer["error"]


# ── GET /videos/{id}/… ───────────────────────────────────────────────────────────


def test_the_status_of_a_new_video(call):
    _, ticket, _ = ask(call)

    status, answer, _ = call("GET", f"/videos/{ticket['id']}/status")

    assert status == 200
    assert list(answer) == [
        "id", "state", "progress", "playable", "updated_at", "retry_after_ms", "time_left_ms",
    ]  # fmt: skip
    assert (answer["state"], answer["progress"], answer["playable"]) == ("awaiting_upload", 0, False)


def test_a_refused_video_tells_its_reasons_in_its_status(call, event, clip):
    video_id = checked(call, event, clip(size="640x480"))

    _, answer, _ = call("GET", f"/videos/{video_id}/status")

    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == ("rejected", "video_refused", None)
    assert answer["error"] == "Invalid resolution: 640x480"
    assert answer["violations"][0]["suggestions"]


def test_a_status_that_has_not_changed_is_not_sent_again(call):
    _, ticket, _ = ask(call)
    path = f"/videos/{ticket['id']}/status"
    _, _, headers = call("GET", path)

    status, answer, _ = call("GET", path, If_None_Match=headers["ETag"])

    assert (status, answer) == (304, None)


def test_the_metadata_of_a_completed_video(call, event, clip):
    video_id = completed(call, event, clip(seconds=2))

    status, answer, _ = call("GET", f"/videos/{video_id}/metadata")

    assert status == 200
    assert answer["specs"]["duration"] == pytest.approx(2, abs=0.05)
    assert answer["specs"]["audio"]["codec"] == "aac"
    assert answer["storage_info"]["size_bytes"] == clip(seconds=2).stat().st_size
    assert [rendition["name"] for rendition in answer["renditions"]] == ["720p", "540p", "360p"]
    assert answer["poster"] == f"http://localhost:8000/videos/{video_id}/poster.jpg"
    assert "uploads/" not in json.dumps(answer)  # no key leaves the house


@pytest.mark.parametrize("file", ["video.mp4", "720p.mp4", "540p.mp4", "360p.mp4", "poster.jpg"])
def test_a_file_is_a_short_lived_signed_url_away(call, event, clip, file):
    video_id = completed(call, event, clip())

    status, _, headers = call("GET", f"/videos/{video_id}/{file}")

    assert status == 302
    assert headers["Location"].startswith("http://localhost:8000/storage/outputs/")
    assert headers["Cache-Control"] == "no-store"


def test_what_is_not_playable_yet_says_when_to_come_back(call, event, clip):
    video_id = checked(call, event, clip())

    status, answer, _ = call("GET", f"/videos/{video_id}/video.mp4")

    assert (status, answer["code"], answer["state"]) == (409, "not_playable", "queued")
    assert "playable" in answer["suggestions"][0]


def test_a_refused_video_will_never_play_and_says_why(call, event, clip):
    video_id = checked(call, event, clip(size="640x480"))

    status, answer, _ = call("GET", f"/videos/{video_id}/video.mp4")

    assert (status, answer["code"]) == (409, "not_playable")
    assert "Invalid resolution: 640x480" in answer["error"]


def test_a_deleted_video_is_gone(call, event, clip):
    video_id = completed(call, event, clip())

    assert call("DELETE", f"/videos/{video_id}")[0] == 204

    for path in ("status", "metadata", "video.mp4", "poster.jpg"):
        assert call("GET", f"/videos/{video_id}/{path}")[0] == 404
    assert call("DELETE", f"/videos/{video_id}")[0] == 404


# ── Everything else ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path", [f"/videos/{NOBODY}/status", "/videos/none/metadata", "/videos/..%2f/status"]
)
def test_an_unknown_video(call, path):
    status, answer, headers = call("GET", path)

    assert (status, answer["code"]) == (404, "unknown_video")
    assert answer["suggestions"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", f"/videos/{NOBODY}/secrets.txt"), ("PATCH", f"/videos/{NOBODY}/status")],
)
def test_an_unknown_route(call, method, path):
    status, answer, _ = call(method, path)

    assert (status, answer["code"]) == (404, "unknown_route")
    assert "POST /upload" in answer["suggestions"][0]


@pytest.mark.parametrize("path", ["/health", f"/videos/{NOBODY}/status", "/nowhere"])
def test_every_answer_and_every_error_may_be_read_by_a_web_page(call, path):
    _, _, headers = call("GET", path, Origin="https://app.example")

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" in headers["Access-Control-Expose-Headers"]


def test_a_fault_of_ours_is_no_stack_trace(call, monkeypatch):
    _, ticket, _ = ask(call)
    monkeypatch.setattr(type(wiring.service().videos), "get", lambda *_: 1 / 0)

    status, answer, _ = call("GET", f"/videos/{ticket['id']}/status")

    assert (status, answer["code"]) == (500, "internal_error")
    assert "division" not in json.dumps(answer)


def test_health_names_every_part(call):
    status, answer, headers = call("GET", "/health")

    assert (status, answer["status"]) == (200, "ok")
    assert answer["dependencies"]["ffmpeg"]["status"] == "ok"
    assert answer["dependencies"]["ffmpeg"]["version"]
    assert answer["dependencies"]["magic"]["status"] == "ok"
    assert answer["storage"]["status"] == "ok"
    assert {"performance", "resources", "stability"} <= set(answer)
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("version", "status"), [("5.1.9-0+deb12u1", 503), ("7.0.2", 503), ("7.1", 200), ("n8.1.2-7-gabc", 200)]
)
def test_health_with_an_ffmpeg_that_is_too_old_is_degraded(call, monkeypatch, tmp_path, version, status):
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f"#!/bin/sh\necho ffmpeg version {version} Copyright\n")
    ffmpeg.chmod(0o755)
    monkeypatch.setenv("FFMPEG", str(ffmpeg))

    assert call("GET", "/health")[0] == status


def test_health_without_ffmpeg_is_degraded(call, monkeypatch):
    monkeypatch.setenv("FFMPEG", "/no/such/ffmpeg")

    status, answer, _ = call("GET", "/health")

    assert (status, answer["status"]) == (503, "degraded")
    assert answer["dependencies"]["ffmpeg"]["status"] == "error"
    assert answer["storage"]["status"] == "ok"


def test_health_with_little_disk_left_is_degraded_and_says_so(call, monkeypatch):
    monkeypatch.setattr(health, "DEGRADED_FREE_BYTES", 2**60)

    status, answer, _ = call("GET", "/health")

    assert (status, answer["status"]) == (503, "degraded")
    assert "of disk are free" in answer["resources"]["error"]


# ── The events between ───────────────────────────────────────────────────────────


def test_every_record_of_an_event_is_handled_even_after_a_bad_one(call, event, clip):
    video_id = uploaded(call, clip())
    good, bad = about(event("check_upload"), video_id), event("check_upload")

    check_upload.handler({"Records": [*bad["Records"], *good["Records"]]}, Context())

    assert call("GET", f"/videos/{video_id}/status")[1]["state"] == "queued"


def test_s3_sends_keys_url_encoded(call, event, clip):
    video_id = uploaded(call, clip())
    encoded = json.loads(json.dumps(about(event("check_upload"), video_id)).replace("uploads/", "uploads%2F"))

    check_upload.handler(encoded, Context())

    assert call("GET", f"/videos/{video_id}/status")[1]["state"] == "queued"


@pytest.mark.usefixtures("call")
def test_the_test_event_of_s3_is_no_error():
    check_upload.handler({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}, Context())


def test_only_the_job_that_failed_comes_back(call, event, clip, monkeypatch):
    good, bad = checked(call, event, clip()), checked(call, event, clip(seconds=2))
    records = [
        about(event("transcode_video"), video_id)["Records"][0] | {"messageId": video_id}
        for video_id in (good, bad)
    ]
    transcode = transcode_video.transcode

    def fails_for_one(video_id, *args, **kwargs):
        if video_id == bad:
            raise OSError("disk on fire")
        return transcode(video_id, *args, **kwargs)

    monkeypatch.setattr(transcode_video, "transcode", fails_for_one)

    answer = transcode_video.handler({"Records": records}, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": bad}]}
    assert call("GET", f"/videos/{good}/status")[1]["state"] == "completed"


@pytest.mark.usefixtures("call")
def test_a_job_of_a_deleted_video_is_done(event):
    assert transcode_video.handler(event("transcode_video"), Context()) == {"batchItemFailures": []}


def test_the_schedule_looks_after_what_lingers(call, event, clip):
    uploaded(call, clip())

    recover_videos.handler(event("recover_videos"), Context())
