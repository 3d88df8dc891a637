"""CloudWatch Logs: the same lines, for people if they go to a terminal."""

import logging
import os
from typing import Any, TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from videos.logs import logger

# What tells lines apart in CloudWatch, where those of many functions and requests lie together.
FOR_MACHINES = frozenset(
    {
        *("_aws", "service", "location", "timestamp", "exception_name", "stack_trace"),
        *("function_request_id", "correlation_id", "xray_trace_id"),
    }
)


class Readable(LambdaPowertoolsFormatter):
    """``10:15:32.123 INFO check_upload 0192… checked state=queued``, with nothing that a terminal obeys."""

    def serialize(self, log: Any) -> str:
        rest = {name: value for name, value in log.items() if name not in FOR_MACHINES}
        trace = rest.pop("exception", "")
        told = [rest.pop(name, "") for name in ("level", "function_name", "video_id", "message")]
        told += [f"{name}={value}" for name, value in rest.items()]
        line = " ".join(_plain(str(word)) for word in [log["timestamp"][11:23], *told] if word != "")
        return "\n    ".join([line, *map(_plain, trace.splitlines())])


def show_lines(stream: TextIO) -> None:
    """Send the log there: for people in a terminal, unless LOG_FORMAT=json, for programs elsewhere."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    if stream.isatty() and os.environ.get("LOG_FORMAT") != "json":
        handler.setFormatter(Readable(utc=False, use_rfc3339=True))
    logger.append_keys(service="tiktoken")


def _plain(text: str) -> str:
    """Control characters, and those that turn the direction of text, as Python writes them."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
