"""CloudWatch Logs: JSON lines, and in a terminal a short line for each event."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from videos import wiring
from videos.errors import Rejected, VideoError
from videos.model import State, Video
from videos.telemetry.logs import METRICS, STORAGE_DENIED, WEBHOOK, logger

# These tell lines apart in CloudWatch, which mixes those of many functions and requests.
FOR_MACHINES = frozenset(
    {
        *("service", "location", "timestamp", "exception_name", "stack_trace", "function_name"),
        *("function_request_id", "correlation_id", "xray_trace_id"),
    }
)
RED, GREEN, YELLOW, DIM, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
COLORS = {
    "ERROR": RED,
    "CRITICAL": RED,
    "WARNING": YELLOW,
    State.FAILED: RED,
    State.REJECTED: YELLOW,
    State.QUEUED: GREEN,
    State.COMPLETED: GREEN,
    STORAGE_DENIED: YELLOW,
}
Find = Callable[[str], Video]


class Readable(LambdaPowertoolsFormatter):
    """``10:15:32 clip.mp4 rejected: Invalid resolution: 1920x1080``, without the control codes of input."""

    def __init__(self, find: Find, *, colored: bool) -> None:
        super().__init__(utc=False, use_rfc3339=True)
        self._find = find
        self._colored = colored

    def serialize(self, log: Any) -> str:
        fields = {name: value for name, value in log.items() if name not in FOR_MACHINES}
        level, message = fields.pop("level"), str(fields.pop("message"))
        video_id, trace = str(fields.pop("video_id", "") or ""), fields.pop("exception", "")
        video = self._video(video_id)
        words = ["" if level == "INFO" else level, video.filename if video else video_id]
        words += [_sentence(message, fields, video)]
        line = _printable(" ".join(filter(None, words)))
        color = next((COLORS[word] for word in (level, fields.get("state"), message) if word in COLORS), "")
        line = f"{self._in(DIM, log['timestamp'][11:19])} {self._in(color, line)}"
        return "\n    ".join([line, *map(_printable, trace.splitlines())])

    def _video(self, video_id: str) -> Video | None:
        try:
            return self._find(video_id) if video_id else None
        except (VideoError, ValueError, SystemExit):  # deleted, malformed; or nothing can be read now
            return None

    def _in(self, color: str, text: str) -> str:
        return f"{color}{text}{PLAIN}" if self._colored and color else text


def _sentence(message: str, fields: Mapping[str, Any], video: Video | None) -> str:
    """What happened; for any other event, its message and fields."""
    match message, fields.get("state"):
        case "ticket issued", _ if video:
            return f"has a ticket: {video.id}"
        case "received", _ if video:
            return f"came in a form: {video.id}"
        case "checked", State.QUEUED:
            return (
                "is accepted and plays" if fields.get("playable") else "is accepted and waits to be encoded"
            )
        case "checked" | "transcoded", State.REJECTED if video:
            return _rejection(video)
        case "request rejected", _ if video and fields.get("code") == Rejected.code:
            return _rejection(video)
        case "transcoded", State.FAILED:
            return f"failed: {fields.get('failure')}"
        case "transcoded", State.COMPLETED:
            return "is completed"
        case "deleted", _:
            return "is deleted"
        case _ if message == WEBHOOK:
            told = f"{fields.get('event_type')}: {fields.get('outcome')} (attempt {fields.get('attempt')})"
            return f"webhook {told} {fields.get('reason')}".rstrip()
        case _ if message == STORAGE_DENIED:
            return f"was not taken by storage: {fields.get('reason')} ({fields.get('code')})"
    return " ".join([message, *(f"{name}={value}" for name, value in fields.items() if value != "")])


def _rejection(video: Video) -> str:
    reasons = [violation.message for violation in video.problems] or [video.failure]
    return f"is rejected: {'; '.join(reasons)}"


def _find(video_id: str) -> Video:
    return wiring.service().videos.get(video_id)


def show_lines(stream: TextIO, find: Find = _find) -> None:
    """Write the log to ``stream``: readable on a terminal unless LOG_FORMAT=json, JSON elsewhere.

    ``find`` returns a video by its id, for its file name; raises VideoError if there is none.
    On a terminal, lines have colors unless NO_COLOR is set, and metrics are left out.
    """
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    if stream.isatty() and os.environ.get("LOG_FORMAT") != "json":
        colored = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        handler.setFormatter(Readable(find, colored=colored))
        handler.addFilter(is_no_metric)
    logger.append_keys(service="tiktoken")


def is_no_metric(record: logging.LogRecord) -> bool:
    return record.msg != METRICS


def _printable(text: str) -> str:
    """``text`` with control and bidirectional characters escaped as Python does."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
