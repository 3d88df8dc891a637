"""CloudWatch Logs: the same log lines, in a readable form on a terminal."""

import logging
import os
from typing import Any, TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from videos.telemetry.logs import logger

# These tell lines apart in CloudWatch, which mixes those of many functions and requests.
FOR_MACHINES = frozenset(
    {
        *("_aws", "service", "location", "timestamp", "exception_name", "stack_trace"),
        *("function_request_id", "correlation_id", "xray_trace_id"),
    }
)


class Readable(LambdaPowertoolsFormatter):
    """``10:15:32.123 INFO check_upload 0192… checked state=queued``, without terminal control codes."""

    def serialize(self, log: Any) -> str:
        fields = {name: value for name, value in log.items() if name not in FOR_MACHINES}
        trace = fields.pop("exception", "")
        words = [fields.pop(name, "") for name in ("level", "function_name", "video_id", "message")]
        words += [f"{name}={value}" for name, value in fields.items()]
        line = " ".join(_printable(str(word)) for word in [log["timestamp"][11:23], *words] if word != "")
        return "\n    ".join([line, *map(_printable, trace.splitlines())])


def show_lines(stream: TextIO) -> None:
    """Write the log to ``stream``: readable on a terminal unless LOG_FORMAT=json, JSON elsewhere."""
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    if stream.isatty() and os.environ.get("LOG_FORMAT") != "json":
        handler.setFormatter(Readable(utc=False, use_rfc3339=True))
    logger.append_keys(service="tiktoken")


def _printable(text: str) -> str:
    """``text`` with control and bidirectional characters escaped as Python does."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
