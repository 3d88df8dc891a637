"""The log: a JSON object a line, with the video's id on every line of its journey.

Apart from ``api``, so that the functions no client calls start without its resolver.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

Answer = TypeVar("Answer")
Handler = Callable[[dict[str, Any], LambdaContext], Answer]


def _one_line(entry: dict[str, Any]) -> str:
    """Powertools' own leaves U+007F to U+009F as they are, and terminals obey some of them."""
    return json.dumps(entry, default=str, separators=(",", ":")).replace("\x7f", "\\u007f")


# Named by POWERTOOLS_SERVICE_NAME, so that two stacks can be told apart. With ``Tracing: Active`` each line
# has its xray_trace_id: Lambda tells it, and the Tracer, 379 ms of every cold start, is not needed for that.
logger = Logger(json_serializer=_one_line, utc=True, use_rfc3339=True)


def logged(handler: Handler[Answer]) -> Handler[Answer]:
    """Every log line of an invocation names the function and the request, and the video its path names.

    Powertools' ``inject_lambda_context`` keeps these keys for the whole process; the local
    server runs invocations side by side, so they are kept for each thread.
    """

    @wraps(handler)
    def invocation(event: dict[str, Any], context: LambdaContext) -> Answer:
        logger.thread_safe_clear_keys()
        logger.thread_safe_append_keys(
            function_name=context.function_name,
            function_request_id=context.aws_request_id,
            correlation_id=event.get("requestContext", {}).get("requestId", context.aws_request_id),
        )
        if video_id := (event.get("pathParameters") or {}).get("video_id"):
            about(video_id)
        return handler(event, context)

    return invocation


def about(video_id: str | None) -> None:
    """From here on, this invocation's lines are about that video; about none, if None."""
    logger.thread_safe_append_keys(video_id=video_id and video_id[:64])
