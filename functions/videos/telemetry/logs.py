"""Structured logs: one JSON object a line, with the id of the video it is about.

Separate from ``web.api``, so that functions without an HTTP route start without its resolver.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos import __version__

Result = TypeVar("Result")
Handler = Callable[[dict[str, Any], LambdaContext], Result]

# Messages that the runbook and its queries search for.
MALFORMED_JOB = "malformed job message"
TRANSCODE_FAILED = "transcode failed"
MALFORMED_LETTER = "malformed webhook message"
WEBHOOK = "webhook attempted"
WEBHOOK_FAILED = "webhook not attempted"
TOOL_FAILED = "media tool failed"
CHECK_FAILED = "check failed"
RECOVERED = "recovered"
METRICS = "metrics"
STORAGE_DENIED = "storage denied a request"
UNHANDLED = "unhandled exception"


def _one_line(entry: dict[str, Any]) -> str:
    """Escapes U+007F to U+009F, which Powertools leaves raw: terminals execute some of them."""
    return json.dumps(entry, default=str, separators=(",", ":")).replace("\x7f", "\\u007f")


# POWERTOOLS_SERVICE_NAME tells stacks apart. With ``Tracing: Active``, each line has an xray_trace_id from
# Lambda's environment; that does not need the Tracer, which adds 379 ms to every cold start.
logger = Logger(json_serializer=_one_line, utc=True, use_rfc3339=True, service_version=__version__)


def logged(handler: Handler[Result]) -> Handler[Result]:
    """Add the function, the request and the video id in its path to every log line of an invocation.

    Powertools' ``inject_lambda_context`` sets these keys for the whole process. The local server
    runs invocations concurrently, so here they are set per thread.
    """

    @wraps(handler)
    def invocation(event: dict[str, Any], context: LambdaContext) -> Result:
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(
            function_name=context.function_name,
            function_request_id=context.aws_request_id,
            correlation_id=request_id(event, context),
        )
        if video_id := (event.get("pathParameters") or {}).get("video_id"):
            about(video_id)
        return handler(event, context)

    return invocation


def request_id(event: dict[str, Any], context: LambdaContext) -> str:
    """API Gateway's id of the request; Lambda's, if another event calls the function."""
    return str(event.get("requestContext", {}).get("requestId") or context.aws_request_id)


def about(video_id: str | None) -> None:
    """Set the video id of this invocation's next log lines; None removes it."""
    logger.thread_safe_append_keys(video_id=video_id and video_id[:64])
