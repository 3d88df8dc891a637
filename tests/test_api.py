"""The handlers, called with the events that AWS sends: what comes in, what goes out, and every refusal."""

import json

import pytest

import check_upload
import recover_videos
import transcode_video
from support.api import NOBODY, Context, about, ask, checked, completed, form, uploaded
from videos import wiring

# ── POST /upload ─────────────────────────────────────────────────────────────────


def test_a_ticket_has_everything_the_app_needs(call):
    status, ticket, _ = ask(call)

    assert status == 201
    assert list(ticket) == ["id", "url", "state", "upload", "links"]
    assert ticket["state"] == "awaiting_upload"
    assert ticket["url"] == f"http://localhost:8000/videos/{ticket['id']}/video.mp4"
    assert ticket["links"]["status"] == f"http://localhost:8000/videos/{ticket['id']}/status"
    assert set(ticket["upload"]) == {"method", "url", "fields", "expires_at", "max_bytes"}
    assert ticket["upload"]["method"] == "POST"
    assert ticket["upload"]["max_bytes"] == 6_291_456


def test_a_put_ticket_names_its_headers(call):
    _, ticket, _ = ask(call, method="PUT")

    assert ticket["upload"]["method"] == "PUT"
    assert ticket["upload"]["headers"] == {"Content-Type": "video/mp4", "If-None-Match": "*"}
    assert "fields" not in ticket["upload"]  # an empty one breaks Uppy 6


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 50_000, "not valid JSON"),
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
def test_an_invalid_request_is_a_400_that_names_the_field(call, body, word):
    status, answer, _ = call("POST", "/upload", body, Content_Type="application/json")

    assert (status, answer["code"]) == (400, "bad_request")
    assert word in answer["error"]
    assert answer["suggestions"]


def test_a_body_of_another_type_is_a_415(call):
    status, answer, _ = call("POST", "/upload", "a=b", Content_Type="application/x-www-form-urlencoded")

    assert (status, answer["code"]) == (415, "unsupported_media_type")


def test_a_ticket_for_a_picture_is_a_415(call):
    status, answer, _ = ask(call, content_type="image/jpeg")

    assert (status, answer["code"]) == (415, "unsupported_media_type")
    assert "video/mp4" in answer["suggestions"][0]


def test_a_file_declared_too_large_is_rejected_before_upload(call):
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


def test_a_form_upload_is_rejected_with_every_violation(call, clip):
    body, kind = form(clip(size="1920x1080", rate="60"))

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (422, "video_refused")
    assert answer["error"] == "Invalid resolution: 1920x1080"
    assert [violation["rule"] for violation in answer["violations"]] == ["resolution", "frame_rate"]
    assert set(answer["violations"][0]) == {
        "rule", "found", "expected", "message", "suggestions", "suggestions_for",
    }  # fmt: skip


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
def test_a_form_without_a_file_is_a_400(call, body, kind):
    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["suggestions"]


@pytest.mark.parametrize("seconds", [-1, 60.2, 1e300])
def test_a_poster_time_out_of_range_is_a_400(call, seconds):
    status, answer, _ = ask(call, poster_time=seconds)

    assert (status, answer["code"]) == (400, "bad_request")
    assert answer["error"].startswith("Invalid poster time")


def test_the_poster_time_of_a_ticket_is_in_the_metadata(call):
    _, ticket, _ = ask(call, poster_time=1.5)

    assert call("GET", f"/videos/{ticket['id']}/metadata")[1]["poster_time"] == 1.5


def with_field(body: bytes, name: str, value: str) -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() + body


def test_a_form_may_name_the_poster_time(call, clip):
    body, kind = form(clip())

    _, answer, _ = call("POST", "/upload", with_field(body, "poster_time", "0.5"), Content_Type=kind)

    assert call("GET", f"/videos/{answer['id']}/metadata")[1]["poster_time"] == 0.5


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf"])
def test_an_invalid_poster_time_in_a_form_is_a_400(call, clip, value):
    body, kind = form(clip())

    status, answer, _ = call("POST", "/upload", with_field(body, "poster_time", value), Content_Type=kind)

    assert (status, answer["code"]) == (400, "bad_request")
    assert "poster_time" in answer["suggestions"][0] or "seconds" in answer["suggestions"][0]


# ── POST /preflight ──────────────────────────────────────────────────────────────


def preflight(call, **known):
    return call("POST", "/preflight", json.dumps(known), Content_Type="application/json")


def test_preflight_accepts_a_clip_and_names_the_unjudged_rules(call):
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


def test_preflight_reports_every_violation(call):
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


def test_preflight_judges_a_rotated_clip_as_displayed(call):
    assert preflight(call, width=1280, height=720, rotation=90)[1]["accepted"]
    assert preflight(call, width=1280, height=720, rotation=-90)[1]["accepted"]
    assert not preflight(call, width=1280, height=720)[1]["accepted"]


@pytest.mark.parametrize("name", ["avc1", "H264", "video/avc", "hvc1", "HEVC", "video/hevc"])
def test_preflight_knows_the_codec_names_of_phones(call, name):
    assert preflight(call, codec=name)[1]["accepted"]


def test_preflight_suggests_a_bit_rate_for_the_duration(call):
    rate = preflight(call, duration=60)[1]["fitting_bit_rate"]

    assert 600_000 < rate < 800_000
    assert (rate + 96_000) * 60 / 8 < 6_291_456


def test_preflight_without_facts_judges_nothing(call):
    _, answer, _ = preflight(call)

    assert answer["accepted"]
    assert len(answer["unjudged"]) == 8
    assert answer["fitting_bit_rate"] is None


@pytest.mark.parametrize("wrong", [{"width": "720"}, {"size": 1.5}, {"fps": [30]}, {"codec": 264}])
def test_an_invalid_preflight_is_a_400_that_names_the_field(call, wrong):
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


def test_the_status_of_a_rejected_video_has_its_violations(call, event, clip):
    video_id = checked(call, event, clip(size="640x480"))

    _, answer, _ = call("GET", f"/videos/{video_id}/status")

    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == ("rejected", "video_refused", None)
    assert answer["error"] == "Invalid resolution: 640x480"
    assert answer["violations"][0]["suggestions"]


def test_an_unchanged_status_is_a_304(call):
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
def test_a_file_redirects_to_a_signed_url(call, event, clip, file):
    video_id = completed(call, event, clip())

    status, _, headers = call("GET", f"/videos/{video_id}/{file}")

    assert status == 302
    assert headers["Location"].startswith("http://localhost:8000/storage/outputs/")
    assert headers["Cache-Control"] == "no-store"


def test_a_file_that_is_not_ready_is_a_409_with_a_suggestion(call, event, clip):
    video_id = checked(call, event, clip(pixels="yuv420p10le"))  # cannot be copied

    status, answer, _ = call("GET", f"/videos/{video_id}/video.mp4")

    assert (status, answer["code"], answer["state"]) == (409, "not_playable", "queued")
    assert "playable" in answer["suggestions"][0]


def test_a_file_of_a_rejected_video_is_a_409_with_the_violations(call, event, clip):
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
def test_an_unknown_video_is_a_404(call, path):
    status, answer, headers = call("GET", path)

    assert (status, answer["code"]) == (404, "unknown_video")
    assert answer["suggestions"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", f"/videos/{NOBODY}/secrets.txt"), ("PATCH", f"/videos/{NOBODY}/status")],
)
def test_an_unknown_route_is_a_404(call, method, path):
    status, answer, _ = call(method, path)

    assert (status, answer["code"]) == (404, "unknown_route")
    assert "POST /upload" in answer["suggestions"][0]


@pytest.mark.parametrize("path", ["/health", f"/videos/{NOBODY}/status", "/nowhere"])
def test_every_answer_and_every_error_has_cors_headers(call, path):
    _, _, headers = call("GET", path, Origin="https://app.example")

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "ETag" in headers["Access-Control-Expose-Headers"]


def test_an_unhandled_exception_is_a_500_without_a_stack_trace(call, monkeypatch):
    _, ticket, _ = ask(call)
    monkeypatch.setattr(type(wiring.service().videos), "get", lambda *_: 1 / 0)

    status, answer, _ = call("GET", f"/videos/{ticket['id']}/status")

    assert (status, answer["code"]) == (500, "internal_error")
    assert "division" not in json.dumps(answer)


def test_health_reports_every_dependency(call):
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


def test_health_with_little_free_disk_is_degraded(call, monkeypatch):
    monkeypatch.setattr("videos.steps.check_health.DEGRADED_FREE_BYTES", 2**60)

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
def test_the_test_event_of_s3_is_ignored():
    check_upload.handler({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"}, Context())


def test_only_a_failed_job_is_retried(call, event, clip, monkeypatch):
    good, bad = checked(call, event, clip()), checked(call, event, clip(seconds=2))
    records = [
        about(event("transcode_video"), video_id)["Records"][0] | {"messageId": video_id}
        for video_id in (good, bad)
    ]
    transcode = transcode_video.transcode_video

    def fails_for_one(video_id, *args, **kwargs):
        if video_id == bad:
            raise OSError("disk on fire")
        return transcode(video_id, *args, **kwargs)

    monkeypatch.setattr(transcode_video, "transcode_video", fails_for_one)

    answer = transcode_video.handler({"Records": records}, Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": bad}]}
    assert call("GET", f"/videos/{good}/status")[1]["state"] == "completed"


@pytest.mark.usefixtures("call")
def test_a_job_of_a_deleted_video_is_done(event):
    assert transcode_video.handler(event("transcode_video"), Context()) == {"batchItemFailures": []}


def test_the_schedule_recovers_stalled_videos(call, event, clip):
    uploaded(call, clip())

    recover_videos.handler(event("recover_videos"), Context())


# ── Headers of every answer ──────────────────────────────────────────────────────


def test_no_json_answer_is_stored_by_a_cache_or_sniffed(call, clip):
    body, kind = form(clip())
    created, answer, form_headers = call("POST", "/upload", body, Content_Type=kind)
    answers = {
        "form": form_headers,
        "ticket": ask(call)[2],
        "rejected form": call("POST", "/upload", b"x", Content_Type=kind)[2],
        "verdict": preflight(call, size=1)[2],
        "metadata": call("GET", f"/videos/{answer['id']}/metadata")[2],
        "health": call("GET", "/health")[2],
        "no such route": call("GET", "/nothing")[2],
        "deleted": call("DELETE", f"/videos/{answer['id']}")[2],
        "CORS": call("OPTIONS", "/upload", Origin="https://app.example")[2],
    }

    assert created == 201
    assert {name for name, headers in answers.items() if headers["Cache-Control"] != "no-store"} == set()
    assert {name for name, told in answers.items() if told["X-Content-Type-Options"] != "nosniff"} == set()


def test_a_status_of_nobody_may_be_revalidated_by_a_cache(call):
    _, ticket, _ = ask(call)

    _, _, headers = call("GET", f"/videos/{ticket['id']}/status")

    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-cache", "nosniff")


def test_a_bug_is_answered_with_the_same_headers(call, monkeypatch):
    monkeypatch.setattr("check_health.health", lambda _: 1 / 0)

    status, _, headers = call("GET", "/health")

    assert (status, headers["Cache-Control"], headers["X-Content-Type-Options"]) == (
        500, "no-store", "nosniff",
    )  # fmt: skip
