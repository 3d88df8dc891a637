"""API Gateway: HTTP to the handlers of ROUTES and back."""

import base64
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_aws.connection import within
from local_aws.events import api_event, invoke
from videos import api
from videos.errors import BodyTooLarge, SlowRequest, TooManyRequests, VideoError, WrongMethod
from videos.logs import logger as log

# The same routes as template.yaml, the more particular first; tests/test_template.py compares the two.
ROUTES = {
    ("POST", "/upload"): "request_upload",
    ("POST", "/preflight"): "request_upload",
    ("GET", "/videos"): "read_video",
    ("GET", "/videos/{video_id}/status"): "read_video",
    ("GET", "/videos/{video_id}/metadata"): "read_video",
    ("GET", "/videos/{video_id}/{file}"): "read_video",
    ("DELETE", "/videos/{video_id}"): "read_video",
    ("GET", "/health"): "check_health",
}

BODY_BYTES = 4_400_000  # Lambda takes events of 6 MB, and a file in one is base64
BODY_S = 60  # for a body to come in
TIMEOUT_S = 29  # API Gateway waits no longer
LONGEST_LINE = 64  # requests: 50 pollers and 12 uploads in one moment. A read takes 1 ms, a ticket 4
MOST_LARGE_BODIES = 4  # in memory: a form with a file is there three times, and takes a quarter of a second


class Places:
    """So many at once; whoever finds none free is sent away, not kept waiting."""

    def __init__(self, number: int) -> None:
        self._free = number

    @contextmanager
    def one(self) -> Iterator[None]:
        if not self._free:
            raise TooManyRequests
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class Gateway:
    """HTTP to the handlers of ROUTES and back."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        # Powertools keeps the current event on a class, so only one may be in the works; an
        # environment of Lambda's handles one at a time anyway. This queues fairly, a lock would not.
        self._environment = CapacityLimiter(1)
        self._line = Places(LONGEST_LINE)
        self._large_bodies = Places(MOST_LARGE_BODIES)

    def routes(self) -> list[Route]:
        return [
            Route(resource, self._endpoint(method, resource, function), methods=[method])
            for (method, resource), function in ROUTES.items()
        ]

    def _endpoint(
        self, method: str, resource: str, function: str
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            with ExitStack() as places:
                event = api_event(
                    method,
                    resource,
                    request.scope["path"],  # not request.url, into which goes what the client calls our host
                    request.path_params,
                    await self._body(request, places),
                    headers=request.headers.items(),
                    query=request.query_params.multi_items(),
                    source_ip=request.client.host if request.client else "127.0.0.1",
                )
                if function != "check_health":  # whoever asks how we are is told so in a rush, too
                    places.enter_context(self._line.one())
                try:
                    reply = _response(await self._invoke(function, event))
                except Exception:
                    log.exception("%s broke", function, video_id=request.path_params.get("video_id"))
                    return JSONResponse(api.internal_error(), 502, {"Cache-Control": "no-store"})
            if method != "GET":
                self._on_change()
            return reply

        return answer

    async def _body(self, request: Request, places: ExitStack) -> bytes:
        """The body of a request, if the gateway carries that much; a large one takes a place."""
        body = bytearray()
        too_large = BodyTooLarge(
            f"This route takes bodies of at most {BODY_BYTES} bytes.",
            suggestions=[
                'Ask for a ticket instead: POST /upload with JSON {"filename", "content_type", "size"}, '
                "then send the file where the ticket says."
            ],
        )
        if int(request.headers.get("content-length", 0)) > BODY_BYTES:
            raise too_large
        placed = False
        try:
            async for chunk in within(BODY_S, request.stream()):
                body += chunk
                if len(body) > BODY_BYTES:
                    raise too_large
                if len(body) > api.LARGEST_JSON_BYTES and not placed:
                    places.enter_context(self._large_bodies.one())
                    placed = True
        except TimeoutError:
            raise SlowRequest(
                "The body came too slowly.", suggestions=["Send it on a better network."]
            ) from None
        return bytes(body)

    async def _invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = await to_thread.run_sync(
            invoke, function, event, TIMEOUT_S, limiter=self._environment, abandon_on_cancel=True
        )
        return reply


def _response(reply: Mapping[str, Any]) -> Response:
    """A handler's answer as HTTP: what it says in both kinds of headers counts once."""
    text = reply.get("body") or ""
    body = base64.b64decode(text) if reply.get("isBase64Encoded") else text.encode()
    response = Response(body, int(reply["statusCode"]))
    headers = {name: [value] for name, value in (reply.get("headers") or {}).items()}
    for name, values in {**headers, **(reply.get("multiValueHeaders") or {})}.items():
        for value in values:
            response.headers.append(name, str(value))
    return response


def refuse(_: Request, error: Exception) -> Response:
    """One of our refusals as JSON."""
    assert isinstance(error, VideoError)
    status, body, headers = api.answer(error)
    return JSONResponse(body, status, headers)


def break_down(_: Request, __: Exception) -> Response:
    """For a mistake of ours; uvicorn logs it."""
    return JSONResponse(api.internal_error(), 500, {"Cache-Control": "no-store"})


def refuse_route(request: Request, error: Exception) -> Response:
    """What Starlette refuses, in our words."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return refuse(request, api.no_such_route())
    allowed = (error.headers or {}).get("Allow", "")
    response = refuse(
        request,
        WrongMethod(f"This path does not answer {request.method}.", suggestions=[f"It answers {allowed}."]),
    )
    response.headers["Allow"] = allowed
    return response
