"""API Gateway: HTTP to the handlers of ROUTES and back."""

import base64
from asyncio import Semaphore
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local_aws.addresses import Addresses
from local_aws.connection import within
from local_aws.environments import Function, InProcess, InThread
from local_aws.events import api_event
from local_aws.headers import request_id
from videos.errors import BodyTooLarge, SlowRequest, TooManyRequests, VideoError, WrongMethod
from videos.telemetry.logs import logger as log
from videos.web import api

# The routes of template.yaml, the more specific first, besides HEAD with each GET, and OPTIONS;
# tests/test_template.py compares the two.
ROUTES = {
    ("POST", "/upload"): "request_upload",
    ("POST", "/preflight"): "request_upload",
    ("GET", api.REGISTERS): "request_upload",
    ("GET", "/videos"): "read_video",
    ("GET", "/videos/{video_id}"): "read_video",
    ("GET", "/videos/{video_id}/status"): "read_video",
    ("GET", "/videos/{video_id}/metadata"): "read_video",
    ("GET", "/videos/{video_id}/{file}"): "read_video",
    ("DELETE", "/videos/{video_id}"): "read_video",
    ("GET", "/openapi.json"): "read_video",
    ("GET", "/docs"): "read_video",
    ("GET", "/health"): "check_health",
}

MAX_BODY_BYTES = 4_400_000  # Lambda accepts events of 6 MB, and a file in one is base64
BODY_TIMEOUT_S = 60  # for a whole body to arrive
TIMEOUT_S = 29  # API Gateway waits no longer
MAX_QUEUED_REQUESTS = 64  # 50 pollers and 12 uploads in one moment; a read takes 1 ms, a ticket 4
MAX_LARGE_BODIES = 4  # at once: each is in memory until it is answered; a form takes a quarter of a second
# How many events each function handles at once. Two health checks would start the same tools.
THREADS = {"request_upload": 4, "read_video": 4, "check_health": 1}
FORM_PROCESSES = 2


class Gateway:
    """HTTP to the handlers of ROUTES and back."""

    def __init__(self, on_change: Callable[[], None], addresses: Addresses) -> None:
        self._on_change = on_change
        self._addresses = addresses
        self._functions = {
            name: Function([InThread(name) for _ in range(number)]) for name, number in THREADS.items()
        }
        self._forms = Function([InProcess("request_upload") for _ in range(FORM_PROCESSES)])
        self._queue = Semaphore(MAX_QUEUED_REQUESTS)
        self._large_bodies = Semaphore(MAX_LARGE_BODIES)

    def routes(self) -> list[Route]:
        """One for each path, so that a 405 names every method of it."""
        return [
            Route(resource, self._endpoint(resource, function), methods=list(methods))
            for (resource, function), methods in _by_path().items()
        ]

    def _endpoint(self, resource: str, function: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            async with AsyncExitStack() as slots:
                make_event = partial(
                    api_event,
                    request.method,
                    resource,
                    request.scope["path"],  # request.url depends on the Host header, which a client may forge
                    request.path_params,
                    headers=request.headers.items(),
                    query=request.query_params.multi_items(),
                    source_ip=request.client.host if request.client else "127.0.0.1",
                    request_id=request_id(request.scope),
                    base_url=self._addresses.base_url(request.scope),
                )
                body = await self._body(request, slots)
                if function != "check_health":  # health is answered under overload, too
                    await _take(self._queue, slots)
                try:
                    reply = _response(
                        await self._function(function, request).invoke(make_event, body, TIMEOUT_S)
                    )
                except Exception:
                    log.exception(
                        "%s failed",
                        function,
                        video_id=request.path_params.get("video_id"),
                        correlation_id=request_id(request.scope),
                    )
                    return JSONResponse(api.internal_error(), 502, api.SAFE_HEADERS)
            if request.method == "HEAD":
                del reply.headers["Content-Length"]  # it would be of a body that is left out
            elif request.method != "GET" or resource == api.REGISTERS:
                self._on_change()
            return reply

        return answer

    async def _body(self, request: Request, slots: AsyncExitStack) -> bytearray:
        """The body of a request; a large one takes a slot until ``slots`` is closed.

        Raises:
            BodyTooLarge: it has more bytes than the gateway accepts.
            TooManyRequests: it is large, and no slot is free.
            SlowRequest: it takes too long to arrive.
        """
        body = bytearray()
        if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
            return body  # there is none (RFC 9112, 6.3), so nothing to wait for
        too_large = BodyTooLarge(
            f"The body must be at most {MAX_BODY_BYTES} bytes.",
            suggestions=[
                'Ask for a ticket instead: POST /upload with JSON {"filename", "content_type", "size"}, '
                "then send the file where the ticket says."
            ],
        )
        if int(request.headers.get("content-length", 0)) > MAX_BODY_BYTES:
            raise too_large
        has_slot = False
        try:
            async for chunk in within(BODY_TIMEOUT_S, request.stream()):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
                if len(body) > api.MAX_JSON_BYTES and not has_slot:
                    await _take(self._large_bodies, slots)
                    has_slot = True
        except TimeoutError:
            raise SlowRequest(
                "The body arrived too slowly.", suggestions=["Try again on a faster network."]
            ) from None
        return body

    def _function(self, name: str, request: Request) -> Function:
        """What handles a request: a form is decoded and checked meanwhile, so in a process."""
        kind = request.headers.get("content-type", "").lower()
        if name == "request_upload" and kind.startswith("multipart/form-data"):
            return self._forms
        return self._functions[name]


def _by_path() -> dict[tuple[str, str], list[str]]:
    """The methods of each path; one function has them all."""
    methods: dict[tuple[str, str], list[str]] = {}
    for (method, resource), function in ROUTES.items():
        methods.setdefault((resource, function), []).append(method)
    return methods


async def _take(slot: Semaphore, slots: AsyncExitStack) -> None:
    """Take a slot until ``slots`` is closed. Raises TooManyRequests if none is free, rather than wait."""
    if slot.locked():
        raise TooManyRequests
    await slots.enter_async_context(slot)


def _response(reply: Mapping[str, Any]) -> Response:
    """A handler's answer as HTTP. A header in both ``headers`` and ``multiValueHeaders`` is sent once."""
    text = reply.get("body") or ""
    body = base64.b64decode(text) if reply.get("isBase64Encoded") else text.encode()
    response = Response(body, int(reply["statusCode"]))
    headers = {name: [value] for name, value in (reply.get("headers") or {}).items()}
    for name, values in {**headers, **(reply.get("multiValueHeaders") or {})}.items():
        for value in values:
            response.headers.append(name, str(value))
    return response


def on_video_error(_: Request, error: Exception) -> Response:
    """An error that the gateway itself raised, as JSON."""
    assert isinstance(error, VideoError)
    status, body, headers = api.answer(error)
    return JSONResponse(body, status, headers)


def on_unhandled(_: Request, __: Exception) -> Response:
    """For a bug; uvicorn logs the exception."""
    return JSONResponse(api.internal_error(), 500, api.SAFE_HEADERS)


def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405 in the usual shape."""
    assert isinstance(error, HTTPException)
    if error.status_code != 405:
        return on_video_error(request, api.no_such_route())
    allowed = (error.headers or {}).get("Allow", "")
    response = on_video_error(
        request,
        WrongMethod(f"Method {request.method} is not allowed here.", suggestions=[f"Use {allowed}."]),
    )
    response.headers["Allow"] = allowed
    return response
