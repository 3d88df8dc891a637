"""The log: what every line says, and how it looks on a laptop."""

import io
import json

import boto3
import pytest

import transcode_video
from local_aws.events import Context
from local_aws.lines import show_lines
from videos.logs import about, logged, logger

TRACE = "1-5e1b4151-5ac6c58f5b5dbd1f3c7a1e02"
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

    [checked] = written.getvalue().splitlines()
    assert f"INFO {ID} checked state=queued found=a\\x1b[31m" in checked
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
