"""The log: the fields of every line, and its format in a terminal."""

import io
import json
import re
from datetime import UTC, datetime
from functools import partial

import boto3
import pytest

import transcode_video
from local_aws.events import Context
from local_aws.lines import is_no_metric, show_lines
from support.activity import TRACE
from support.pipeline import ticketed
from videos.errors import UnknownVideo, Violation
from videos.model import Video
from videos.steps.recover_videos import recover_videos
from videos.telemetry import metrics
from videos.telemetry.logs import about, logged, logger

ID = "01a206ed-716a-7435-a158-fc494f265cce"
CONTEXT = Context("test", timeout_s=3)
HOSTILE = "a\x1b[31m\x9bb\x7f\u202ec\nd"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def find(video_id: str) -> Video:
    """The one video there is."""
    if video_id != ID:
        raise UnknownVideo(video_id)
    now = datetime.now(UTC)
    return Video(
        id=ID,
        filename=f"clip{HOSTILE}.mp4",
        content_type="video/mp4",
        created_at=now,
        updated_at=now,
        upload_expires_at=now,
        problems=(
            Violation(rule="size", found="", expected="", message="Invalid size"),
            Violation(rule="codec", found="", expected="", message="Invalid codec"),
        ),
    )


@pytest.fixture
def shown(monkeypatch):
    """``shown(stream)``: redirects the log there, formatted as in local mode."""
    handler = logger.registered_handler
    before, formatter, keys = handler.stream, handler.formatter, dict(logger.get_current_keys())
    for name in ("LOG_FORMAT", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    logger.thread_safe_clear_keys()
    yield partial(show_lines, find=find)
    handler.removeFilter(is_no_metric)
    handler.setStream(before)
    handler.setFormatter(formatter)
    logger.append_keys(service=keys["service"])
    logger.thread_safe_clear_keys()


def test_every_line_about_a_video_has_its_id(activity):
    without = [line for line in activity.lines if "video_id" not in line]

    assert len(activity.lines) > 50
    assert without == []
    assert {line["function_name"] for line in activity.lines} >= {
        "request_upload",
        "check_upload",
        "read_video",
    }


def test_errors_are_logged_with_the_video_id_and_a_stack_trace(activity):
    messages = {line["message"] for line in activity.lines}

    assert messages >= {"request rejected", "check failed", "transcode failed", "nothing to check", "deleted"}
    assert {"exception", "stack_trace"} <= next(
        line for line in activity.lines if line["message"] == "check failed"
    ).keys()


def test_every_line_has_its_trace_id(activity):
    assert {line["xray_trace_id"] for line in activity.lines} == {TRACE}


@pytest.mark.usefixtures("fake_aws")
def test_a_job_carries_the_trace_id_of_its_upload(monkeypatch):
    # In Lambda, boto3 sends the trace header, and SQS passes it to the consuming function.
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "check_upload")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Sampled=1")
    sqs, sent = boto3.client("sqs"), {}
    sqs.meta.events.register("before-send", lambda request, **_: sent.update(request.headers))

    sqs.list_queues()

    assert sent["X-Amzn-Trace-Id"] == f"Root={TRACE};Sampled=1".encode()


def test_lines_about_videos_that_are_recovered_side_by_side_have_the_request_and_each_its_own_id(
    shown, service, clock, monkeypatch
):
    out = io.StringIO()
    shown(out)
    unused = {ticketed(service).id for _ in range(3)}
    monkeypatch.setattr(service.jobs, "put", lambda video_id: {}[video_id])
    clock.advance(hours=2)

    logged(lambda *_: recover_videos(service))({}, CONTEXT)

    stuck = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["video_id"] for line in stuck} == unused
    assert {line["function_request_id"] for line in stuck} == {CONTEXT.aws_request_id}
    assert [line["stuck"] for line in stuck] == [1, 1, 1]


def test_the_video_id_is_cleared_between_invocations(shown):
    shown(written := io.StringIO())

    @logged
    def handler(_, __):
        logger.info("started")
        about(ID)

    for _ in range(2):
        handler({}, CONTEXT)

    assert ID not in written.getvalue()


def test_a_malformed_job_is_logged_without_the_previous_video_id(shown):
    shown(written := io.StringIO())
    about(ID)

    transcode_video.handler({"Records": [{"messageId": "m", "body": "{"}]}, CONTEXT)

    assert ID not in written.getvalue()


def test_piped_output_is_json_without_control_characters(shown):
    shown(written := io.StringIO())

    logger.info("checked", found=HOSTILE)

    [line] = written.getvalue().splitlines()
    assert json.loads(line)["found"] == HOSTILE
    assert line.isprintable()


def test_terminal_output_is_readable_lines_without_control_characters(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown(written := Terminal())
    about(ID)

    logger.info("looked at", state="queued", found=HOSTILE)

    [line] = written.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d clipa.*\.mp4 looked at state=queued found=a.*", line)
    assert line.count(r"a\x1b[31m\x9bb\x7f\u202ec\nd") == 2  # the file name, and the field
    assert line.isprintable()


@pytest.mark.parametrize(
    ("message", "fields", "sentence"),
    [
        ("ticket issued", {"method": "POST"}, f"has a ticket: {ID}"),
        ("received", {"state": "queued"}, f"came in a form: {ID}"),
        ("checked", {"state": "queued", "playable": True}, "is accepted and plays"),
        ("checked", {"state": "queued", "playable": False}, "is accepted and waits to be encoded"),
        ("checked", {"state": "rejected"}, "is rejected: Invalid size; Invalid codec"),
        ("request rejected", {"code": "video_refused"}, "is rejected: Invalid size; Invalid codec"),
        ("transcoded", {"state": "failed", "failure": "No ffmpeg."}, "failed: No ffmpeg."),
        ("transcoded", {"state": "completed", "failure": ""}, "is completed"),
        ("deleted", {}, "is deleted"),
        (
            "storage denied a request",
            {"code": "EntityTooLarge", "reason": "Too large.", "key": f"uploads/{ID}"},
            "was not taken by storage: Too large. (EntityTooLarge)",
        ),
    ],
)
def test_an_event_in_a_terminal_is_one_sentence_about_a_file(message, fields, sentence, shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown(written := Terminal())
    about(ID)

    logger.info(message, **fields)

    assert written.getvalue().endswith(f".mp4 {sentence}\n")


def test_a_line_about_a_video_that_is_gone_has_its_id(shown, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    shown(written := Terminal())
    about("gone")

    logger.warning("storage denied a request", code="AccessDenied", reason="Expired.")

    assert written.getvalue().endswith(" WARNING gone was not taken by storage: Expired. (AccessDenied)\n")


def test_metrics_are_left_out_in_a_terminal(shown):
    shown(written := Terminal())

    metrics.emit({"rejected:size": 1})

    assert written.getvalue() == ""


@pytest.mark.parametrize(
    ("log", "state", "color"),
    [
        (logger.info, "completed", "\x1b[32m"),
        (logger.info, "rejected", "\x1b[33m"),
        (logger.error, "completed", "\x1b[31m"),
    ],
)
def test_a_terminal_shows_the_outcome_in_color(log, state, color, shown):
    shown(written := Terminal())

    log("transcoded", state=state)

    assert re.search(rf" {re.escape(color)}.*\x1b\[0m$", written.getvalue())


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_color_gets_none(variable, value, shown, monkeypatch):
    monkeypatch.setenv(variable, value)
    shown(written := Terminal())

    logger.error("transcoded", state="failed")

    assert "\x1b" not in written.getvalue()


def test_a_traceback_in_a_terminal_is_indented_and_escaped(shown):
    shown(written := Terminal())

    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("broke")

    first, *trace = written.getvalue().splitlines()
    assert first.endswith("ERROR broke\x1b[0m")
    assert all(line.startswith("    ") and line.isprintable() for line in trace)


def test_log_format_json_forces_json_in_a_terminal(shown, monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "json")
    shown(written := Terminal())

    logger.info("checked")

    assert json.loads(written.getvalue())["message"] == "checked"


def test_metrics_are_logged_at_every_log_level(shown):
    shown(written := io.StringIO())
    level = logger.log_level
    logger.setLevel("ERROR")
    try:
        logger.info("unseen")
        metrics.emit({"stuck": 1})
    finally:
        logger.setLevel(level)

    [line] = map(json.loads, written.getvalue().splitlines())
    assert (line["message"], line["stuck"]) == ("metrics", 1)
