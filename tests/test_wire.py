"""What goes over the wire, and what Lambda is told when something fails: through the real handlers."""

import json
import runpy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import check_health
import check_upload
import transcode_video
from support.api import NOBODY, Context, about, ask, checked, completed, form, uploaded
from support.media_tools import TOOLS, fake_tool
from videos import wiring
from videos.errors import ToolFailed
from videos.steps.transcode_video import transcode_video as transcode
from videos.steps.transcode_video import transcode_video as transcode_video_step
from videos.telemetry.logs import TOOL_FAILED

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def status_of(call, video_id: str) -> dict:
    return call("GET", f"/videos/{video_id}/status")[1]


# ── What the answers say ─────────────────────────────────────────────────────────


def test_the_metadata_has_size_and_bit_rate_of_each_rendition(call, event, clip):
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


def test_an_unused_ticket_expires(call):
    _, ticket, _ = ask(call)
    service = wiring.service()

    transcode_video_step(ticket["id"], replace(service, now=lambda: service.now() + timedelta(hours=2)))

    answer = status_of(call, ticket["id"])
    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == ("expired", "upload_expired", None)
    assert answer["error"] == "The upload ticket expired."
    assert "POST /upload" in answer["suggestions"][0]


def test_the_error_of_a_failed_video_blames_the_service(call, event, clip, monkeypatch, tmp_path):
    monkeypatch.setenv("FFMPEG", str(fake_tool(tmp_path, TOOLS.ffmpeg)))
    video_id = checked(call, event, clip())

    for receives in range(1, 6):
        transcode_video.handler(delivered(event, video_id, receives=receives), Context())

    answer = status_of(call, video_id)
    assert (answer["state"], answer["code"], answer["retry_after_ms"]) == (
        "failed",
        "processing_failed",
        None,
    )
    assert answer["error"] == "The video could not be processed."
    assert "not the file" in answer["suggestions"][0]


def test_a_check_that_cannot_run_is_a_503_with_retry_after(call, clip, monkeypatch):
    monkeypatch.setenv("FFPROBE", "/no/such/ffprobe")
    body, kind = form(clip())

    status, answer, headers = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"], headers["Retry-After"]) == (503, "tool_failed", "2")


# ── What the answers keep to themselves ──────────────────────────────────────────


def gossip(folder: Path, tool: str, asked_for: str = "") -> str:
    """A media tool that fails, and names its input and itself, as tools do."""
    path = folder / tool
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *"{asked_for}"*) echo "No such filter in $0: $*" >&2; exit 1;; esac\n'
        f'exec "{getattr(TOOLS, tool)}" "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def paths_in(answer: dict, *folders: Path) -> list[str]:
    text = json.dumps(answer)
    return [str(path) for path in (*folders, Path("/tmp")) if str(path) in text]  # noqa: S108


def test_no_answer_to_an_upload_holds_what_a_tool_printed(call, clip, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("FFPROBE", gossip(tmp_path, "ffprobe"))
    body, kind = form(clip())

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["error"]) == (503, "Files cannot be processed at the moment.")
    assert paths_in(answer, tmp_path) == []
    assert TOOL_FAILED in caplog.text


@pytest.mark.parametrize("tries", [1, 5])
def test_no_answer_about_a_video_holds_what_a_tool_printed(call, event, clip, monkeypatch, tmp_path, tries):
    monkeypatch.setenv("FFMPEG", gossip(tmp_path, "ffmpeg", "libx264"))
    video_id = checked(call, event, clip())

    for receives in range(1, tries + 1):
        transcode_video.handler(delivered(event, video_id, receives=receives), Context())

    answers = [call("GET", f"/videos/{video_id}/{name}")[1] for name in ("status", "metadata")]
    assert [paths_in(answer, tmp_path) for answer in answers] == [[], []]
    if tries == 5:
        assert str(tmp_path) in wiring.service().videos.get(video_id).failure  # for operators


def test_no_rejection_holds_what_a_tool_printed(call, event, clip, monkeypatch, tmp_path):
    damage = "[h264 @ 0x1] [error] error while decoding MB 4 7 of /tmp/secret"
    tool = fake_tool(tmp_path, TOOLS.ffmpeg, does=f"echo '{damage}' >&2")
    monkeypatch.setenv("FFMPEG", str(tool))
    video_id = checked(call, event, clip())

    transcode_video.handler(delivered(event, video_id), Context())

    answers = [call("GET", f"/videos/{video_id}/{name}")[1] for name in ("status", "metadata")]
    assert [answer["state"] for answer in answers] == ["rejected"] * 2
    assert [paths_in(answer, tmp_path) for answer in answers] == [[], []]


def test_health_does_not_hold_what_a_tool_printed(call, monkeypatch, tmp_path):
    monkeypatch.setenv("FFMPEG", gossip(tmp_path, "ffmpeg"))

    _, answer, _ = call("GET", "/health")

    assert answer["dependencies"]["ffmpeg"]["status"] != "ok"
    assert paths_in(answer, tmp_path) == []


# ── Headers ──────────────────────────────────────────────────────────────────────


def test_a_404_has_no_retry_after(call):
    status, _, headers = call("GET", f"/videos/{NOBODY}/status")

    assert status == 404
    assert "Retry-After" not in headers


def test_without_public_url_links_have_the_host_of_the_request(call, monkeypatch):
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
def test_only_allowed_origins_get_cors_headers(event, monkeypatch, origin, allowed):
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
def test_json_content_types_may_have_parameters_or_be_missing(call, kind):
    request = {"filename": "猫.mp4", "content_type": "video/mp4", "size": 1_000_000}

    status, ticket, _ = call("POST", "/upload", json.dumps(request), Content_Type=kind)

    assert (status, ticket["state"]) == (201, "awaiting_upload")


def test_a_form_file_of_unknown_type_is_checked_as_video(call, clip):
    body, kind = form(clip(), kind="application/octet-stream")

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["state"]) == (201, "queued")


def test_a_form_file_without_a_type_is_checked_as_video(call, clip):
    body, kind = form(clip())
    body = body.replace(b"Content-Type: video/mp4\r\n", b"", 1)

    assert call("POST", "/upload", body, Content_Type=kind)[0] == 201


def test_a_form_file_of_another_type_is_a_415(call, clip):
    body, kind = form(clip(), kind="image/jpeg")

    status, answer, _ = call("POST", "/upload", body, Content_Type=kind)

    assert (status, answer["code"]) == (415, "unsupported_media_type")


# ── What plays ───────────────────────────────────────────────────────────────────


def test_the_copy_is_served_until_a_compatible_rendition_exists(call, event, clip, tmp_path, monkeypatch):
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


def test_an_event_is_retried_for_a_failed_check_and_the_others_are_done(
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


def test_a_failed_job_is_reported_and_retried_later(call, event, clip, monkeypatch, tmp_path):
    monkeypatch.setenv("FFMPEG", str(fake_tool(tmp_path, TOOLS.ffmpeg)))
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


def test_the_fifth_failure_marks_its_video_as_failed(call, event, clip, monkeypatch, tmp_path):
    monkeypatch.setenv("FFMPEG", str(fake_tool(tmp_path, TOOLS.ffmpeg)))
    video_id = checked(call, event, clip())

    for receives in range(1, 5):
        answer = transcode_video.handler(delivered(event, video_id, receives=receives), Context())
        assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
        assert status_of(call, video_id)["state"] == "processing"
    answer = transcode_video.handler(delivered(event, video_id, receives=5), Context())

    assert answer == {"batchItemFailures": []}  # its dead letter is there already
    assert status_of(call, video_id)["state"] == "failed"


def test_malformed_jobs_fail_alone(call, event, clip):
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
