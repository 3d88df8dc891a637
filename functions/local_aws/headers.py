"""What every answer has, also of files, of storage, of CORS preflights and of requests that are not let in.

``X-Content-Type-Options: nosniff``: no browser guesses a type that we did not send.
``X-Request-Id``: the id that API Gateway gives a request, and that the log lines about it have.
"""

from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from videos.web.api import REQUEST_ID


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The id of this request, the same whenever it is asked for."""
    if "request_id" not in scope:  # os.urandom lets another thread have the interpreter: 30 µs under load
        scope["request_id"] = str(uuid4())
    made: str = scope["request_id"]
    return made


class CommonHeaders:
    """Adds both headers to what has none yet."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault(REQUEST_ID, request_id(scope))
            await send(message)

        if scope["type"] == "http":
            request_id(scope)  # before any middleware copies the scope
        await self._app(scope, receive, send_with_headers)
