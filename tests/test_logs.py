"""The log: what every line says, and how it looks on a laptop."""

import io
import json

import boto3
import pytest

import transcode_video
from journey import TRACE
from local_aws.events import Context
from local_aws.lines import show_lines
from videos import metrics
from videos.logs import about, logged, logger

ID = "01a206ed-716a-7435-a158-fc494f265cce"
CONTEXT = Context("test", timeout_s=3)
HOSTILE = "a\x1b[31m\x9bb\x7f\u202ec\nd"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """``shown(stream)``: what is logged from now on goes there, as local mode sends it."""
    handler = logger.registered_handler
    before, formatter, keys = handler.stream, handler.formatter, dict(logger.get_current_keys())
    monkeypatch.delenv("LOG_FORMAT", raising=False)
    logger.thread_safe_clear_keys()
    yield show_lines
    handler.setStream(before)
    handler.setFormatter(formatter)
    logger.append_keys(service=keys["service"])
    logger.thread_safe_clear_keys()


def test_every_line_about_a_video_has_its_id(journey):
    without = [line for line in journey.lines if "video_id" not in line]

    assert len(journey.lines) > 50
    assert without == []
    assert {line["function_name"] for line in journey.lines} >= {
        "request_upload",
        "check_upload",
        "read_video",
    }


def test_a_refusal_and_a_breakdown_name_the_video_too(journey):
    said = {line["message"] for line in journey.lines}

    assert said >= {"refused", "not checked", "not transcoded", "nothing to check", "deleted"}
    assert {"exception", "stack_trace"} <= next(
        line for line in journey.lines if line["message"] == "not checked"
    ).keys()


def test_a_line_leads_to_its_trace(journey):
    assert {line["xray_trace_id"] for line in journey.lines} == {TRACE}


@pytest.mark.usefixtures("fake_aws")
def test_a_job_carries_the_trace_of_the_upload_on(monkeypatch):
    # boto3 sends it by itself within Lambda, and SQS hands it to the function that takes the job.
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "check_upload")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Sampled=1")
    sqs, sent = boto3.client("sqs"), {}
    sqs.meta.events.register("before-send", lambda request, **_: sent.update(request.headers))

    sqs.list_queues()

    assert sent["X-Amzn-Trace-Id"] == f"Root={TRACE};Sampled=1".encode()


def test_lines_of_the_next_invocation_are_not_about_the_last_video(shown):
    shown(written := io.StringIO())

    @logged
    def handler(_, __):
        logger.info("begun")
        about(ID)

    for _ in range(2):
        handler({}, CONTEXT)

    assert ID not in written.getvalue()


def test_a_message_that_is_no_job_is_not_about_the_last_video(shown):
    shown(written := io.StringIO())
    about(ID)

    transcode_video.handler({"Records": [{"messageId": "m", "body": "{"}]}, CONTEXT)

    assert ID not in written.getvalue()


def test_programs_get_json_and_no_control_characters(shown):
    shown(written := io.StringIO())

    logger.info("checked", found=HOSTILE)

    [line] = written.getvalue().splitlines()
    assert json.loads(line)["found"] == HOSTILE
    assert line.isprintable()


def test_people_in_a_terminal_get_readable_lines_and_no_control_characters(shown):
    shown(written := Terminal())
    about(ID)

    logger.info("checked", state="queued", found=HOSTILE)
    metrics.emit({"refused:size": 1})

    checked, figures = written.getvalue().splitlines()
    assert f"INFO {ID} checked state=queued found=a\\x1b[31m" in checked
    assert figures.endswith(f"{ID} figures rule=size refused=1")
    assert checked.isprintable()


def test_a_traceback_is_indented_and_harmless_in_a_terminal(shown):
    shown(written := Terminal())

    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("broke")

    first, *trace = written.getvalue().splitlines()
    assert first.endswith("ERROR broke")
    assert all(line.startswith("    ") and line.isprintable() for line in trace)


def test_a_terminal_can_be_told_to_show_json(shown, monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "json")
    shown(written := Terminal())

    logger.info("checked")

    assert json.loads(written.getvalue())["message"] == "checked"


def test_figures_do_not_follow_the_log_level(shown):
    shown(written := io.StringIO())
    level = logger.log_level
    logger.setLevel("ERROR")
    try:
        logger.info("unseen")
        metrics.emit({"stuck": 1})
    finally:
        logger.setLevel(level)

    [line] = map(json.loads, written.getvalue().splitlines())
    assert (line["message"], line["stuck"]) == ("figures", 1)
