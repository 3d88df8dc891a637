"""Every handler on http://localhost:8000, with a folder for S3 and SQLite for DynamoDB and SQS.

    python functions/local_server.py --port 8000 --data .data

The handlers are the ones Lambda runs; this file only speaks HTTP on one side and Lambda
events on the other. For development: it trusts whoever connects.

    api_event, s3_event, …   the events, as AWS makes them
    Gateway                  API Gateway
    Bucket                   S3, as far as tickets and playback links need it
    Workers                  what S3 notifications, SQS and EventBridge do: call handlers when it is time
    main                     one process, from a lock to a clean end
"""

import argparse
import base64
import fcntl
import hashlib
import html
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote_plus
from uuid import uuid4

import uvicorn
from anyio import CapacityLimiter, to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from videos import api, wiring
from videos.errors import BodyTooLarge, Unavailable, VideoError, WrongMethod
from videos.local import LARGEST_FORM_BYTES, Denied, FolderStorage, SqliteJobs, Upload
from videos.ports import Job

# The same routes as template.yaml, the more particular first; tests/test_template.py compares the two.
ROUTES = {
    ("POST", "/upload"): "request_upload",
    ("GET", "/videos/{id}/status"): "read_video",
    ("GET", "/videos/{id}/metadata"): "read_video",
    ("GET", "/videos/{id}/{file}"): "read_video",
    ("DELETE", "/videos/{id}"): "read_video",
    ("GET", "/health"): "check_health",
}
EVENT_HANDLERS = ("check_upload", "transcode_video", "recover_videos")

GATEWAY_BODY_BYTES = 4_400_000  # Lambda takes events of 6 MB, and a file in one is base64
API_TIMEOUT_S = 29  # API Gateway waits no longer
EVENT_TIMEOUT_S = 900
CHECKS = 2  # uploads checked at a time
LONGEST_PAUSE_S = 60
RECOVER_EVERY_S = 60
POLL_S = 1.0  # how late a delayed job may be; new ones ring
GRACE_S = 3  # for what is running when we are asked to stop

ACCOUNT, REGION, BUCKET = "000000000000", "us-east-1", "local"

log = logging.getLogger("local_server")


# ── The events, as AWS makes them ────────────────────────────────────────────────


@dataclass
class Context:
    """What a handler may ask Lambda about its invocation."""

    function_name: str
    timeout_s: float
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 2048
    aws_request_id: str = field(default_factory=lambda: str(uuid4()))
    began: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        return f"/aws/lambda/{self.function_name}"

    @property
    def log_stream_name(self) -> str:
        return "local"

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.began + self.timeout_s - time.monotonic()) * 1000))


def api_event(
    method: str,
    resource: str,
    path: str,
    parameters: Mapping[str, str],
    body: bytes = b"",
    *,
    headers: Iterable[tuple[str, str]] = (),
    query: Iterable[tuple[str, str]] = (),
    source_ip: str = "127.0.0.1",
) -> dict[str, Any]:
    """The event of a REST API's proxy integration. The last of repeated headers or parameters wins."""
    named = [(name.title(), value) for name, value in headers]
    pairs = list(query)
    single = dict(named)
    binary = single.get("Content-Type", "").lower().startswith("multipart/form-data")
    text = base64.b64encode(body).decode() if binary else body.decode(errors="replace")
    now = datetime.now(UTC)
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": single or None,
        "multiValueHeaders": _together(named) or None,
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": _together(pairs) or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "deploymentId": "local",
            "domainName": single.get("Host", "localhost"),
            "domainPrefix": "local",
            "extendedRequestId": uuid4().hex,
            "httpMethod": method,
            "identity": {
                "accessKey": None,
                "accountId": None,
                "caller": None,
                "cognitoAuthenticationProvider": None,
                "cognitoAuthenticationType": None,
                "cognitoIdentityId": None,
                "cognitoIdentityPoolId": None,
                "principalOrgId": None,
                "sourceIp": source_ip,
                "user": None,
                "userAgent": single.get("User-Agent"),
                "userArn": None,
            },
            "path": path,
            "protocol": "HTTP/1.1",
            "requestId": str(uuid4()),
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(now.timestamp() * 1000),
            "resourceId": "local",
            "resourcePath": resource,
            "stage": "local",
        },
        "body": text or None,
        "isBase64Encoded": binary,
    }


def _together(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values


def s3_event(key: str, *, size_bytes: int, etag: str) -> dict[str, Any]:
    """The notification of one ObjectCreated."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": _iso(datetime.now(UTC), "milliseconds"),
        "eventName": "ObjectCreated:Post",
        "userIdentity": {"principalId": "local"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": uuid4().hex[:16].upper(), "x-amz-id-2": uuid4().hex},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "local",
            "bucket": {
                "name": BUCKET,
                "ownerIdentity": {"principalId": "local"},
                "arn": f"arn:aws:s3:::{BUCKET}",
            },
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": size_bytes,
                "eTag": etag,
                "sequencer": f"{time.time_ns():016X}",
            },
        },
    }
    return {"Records": [record]}


def sqs_event(job: Job) -> dict[str, Any]:
    """A batch of one transcode job."""
    body = json.dumps({"video_id": job.video_id})
    now_ms = str(time.time_ns() // 1_000_000)
    record = {
        "messageId": str(uuid4()),
        "receiptHandle": job.receipt,
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(job.receives),
            "SentTimestamp": now_ms,
            "SenderId": ACCOUNT,
            "ApproximateFirstReceiveTimestamp": now_ms,
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:transcode",
        "awsRegion": REGION,
    }
    return {"Records": [record]}


def scheduled_event() -> dict[str, Any]:
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": _iso(datetime.now(UTC), "seconds"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/recover-videos"],
        "detail": {},
    }


def _iso(at: datetime, precision: str) -> str:
    return at.isoformat(timespec=precision).replace("+00:00", "Z")


def invoke(function: str, event: dict[str, Any], timeout_s: float) -> Any:
    """What Lambda does: call the handler of the module the function is named after."""
    return import_module(function).handler(event, Context(function, timeout_s))


# ── API Gateway ──────────────────────────────────────────────────────────────────


class Gateway:
    """HTTP to the handlers of ROUTES and back."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        # Powertools keeps the current event on a class, so only one may be in the works; an
        # environment of Lambda's handles one at a time anyway. This queues fairly, a lock would not.
        self._environment = CapacityLimiter(1)

    def routes(self) -> list[Route]:
        return [
            Route(resource, self._endpoint(method, resource, function), methods=[method])
            for (method, resource), function in ROUTES.items()
        ]

    def _endpoint(
        self, method: str, resource: str, function: str
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            event = api_event(
                method,
                resource,
                request.url.path,
                request.path_params,
                await _body(request),
                headers=request.headers.items(),
                query=request.query_params.multi_items(),
                source_ip=request.client.host if request.client else "127.0.0.1",
            )
            try:
                reply = _response(await self._invoke(function, event))
            except Exception:
                log.exception("%s broke", function)
                return JSONResponse(api.internal_error(), 502)
            if method != "GET":
                self._on_change()
            return reply

        return answer

    async def _invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = await to_thread.run_sync(
            invoke, function, event, API_TIMEOUT_S, limiter=self._environment, abandon_on_cancel=True
        )
        return reply


async def _body(request: Request) -> bytes:
    """The body of a request, if the gateway carries that much."""
    body = bytearray()
    too_large = BodyTooLarge(
        f"This route takes bodies of at most {GATEWAY_BODY_BYTES} bytes.",
        suggestions=[
            'Ask for a ticket instead: POST /upload with JSON {"filename", "content_type", "size"}, '
            "then send the file where the ticket says."
        ],
    )
    if int(request.headers.get("content-length", 0)) > GATEWAY_BODY_BYTES:
        raise too_large
    async for chunk in request.stream():
        body += chunk
        if len(body) > GATEWAY_BODY_BYTES:
            raise too_large
    return bytes(body)


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
    status, body = api.answer(error)
    return JSONResponse(body, status)


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


def hang_up(_: Request, __: Exception) -> Response:
    """For a client that left in the middle of its body; it will not read this."""
    return Response(status_code=400)


# ── S3, as far as tickets and playback links need it ─────────────────────────────

S3_STATUS = {  # every other refusal is a 400
    "AccessDenied": 403,
    "SignatureDoesNotMatch": 403,
    "NoSuchKey": 404,
    "MissingContentLength": 411,
    "ServiceUnavailable": 503,
}


class Bucket:
    """The URLs that FolderStorage signs. ``on_stored`` is told the key before the client has its answer."""

    def __init__(self, storage: FolderStorage, on_stored: Callable[[str], None]) -> None:
        self._storage = storage
        self._on_stored = on_stored

    def routes(self) -> list[Route]:
        return [
            Route("/storage", self.answer, methods=["POST"]),
            Route("/storage/{key:path}", self.answer, methods=["POST", "PUT", "GET"]),
        ]

    async def answer(self, request: Request) -> Response:
        methods = {"POST": self._post, "PUT": self._put, "GET": self._get, "HEAD": self._get}
        try:
            return await methods[request.method](request)
        except Denied as denied:
            return _s3_error(request, denied)
        except ClientDisconnect:
            return _s3_error(request, Denied("IncompleteBody", "The body ended too soon."))
        except Unavailable as error:
            return _s3_error(request, Denied("ServiceUnavailable", str(error)))

    async def _post(self, request: Request) -> Response:
        form = UploadForm(request)
        fields = await form.fields()
        announced_bytes = int(request.headers.get("content-length", 0))
        permit = self._storage.verify_post(fields, announced_bytes=announced_bytes)
        with self._storage.upload(permit) as upload:
            async for piece in form.file():
                upload.write(piece)
            return await self._keep(upload, 204)

    async def _put(self, request: Request) -> Response:
        permit = self._storage.verify_put(request.path_params["key"], request.query_params, request.headers)
        with self._storage.upload(permit) as upload:
            async for piece in request.stream():
                upload.write(piece)
            return await self._keep(upload, 200)

    async def _keep(self, upload: Upload, status: int) -> Response:
        def keep() -> str:
            stored = upload.commit()
            self._on_stored(stored.key)
            return stored.etag

        return Response(status_code=status, headers={"ETag": f'"{await run_in_threadpool(keep)}"'})

    async def _get(self, request: Request) -> Response:
        key = request.path_params["key"]
        content_type = self._storage.verify_get(key, request.query_params)
        try:
            stored = self._storage.stat(key)
        except FileNotFoundError:
            raise Denied("NoSuchKey", "The specified key does not exist.") from None
        headers = {"ETag": f'"{stored.etag}"'}
        return FileResponse(self._storage.path(key), media_type=content_type, headers=headers)


class UploadForm:
    """A multipart form as it comes in: first its fields, then the bytes of its file.

    Never more than a chunk of it is in memory. As in S3, what follows the file is ignored.
    """

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Denied(
                "PreconditionFailed",
                "The body must be multipart/form-data, and Content-Type name its boundary. "
                "Let your HTTP client write that header; do not set it yourself.",
            )
        self._chunks = request.stream()
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_header_field": self._on_header_name,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
            },
        )
        self._header = self._value = self._disposition = b""
        self._fields: dict[str, bytearray] = {}
        self._field = bytearray()  # the value being read
        self._fields_bytes = 0
        self._pieces: deque[bytes] = deque()  # of the file: read, not yet handed on
        self._file_begun = self._file_ended = False

    async def fields(self) -> dict[str, str]:
        """All that comes before the file."""
        while not self._file_begun:
            chunk = await anext(self._chunks, b"")
            if not chunk:
                raise Denied("InvalidArgument", "POST requires one file: the form's last field, named file.")
            self._parse(chunk)
        return {name: value.decode(errors="replace") for name, value in self._fields.items()}

    async def file(self) -> AsyncIterator[bytes]:
        """The file, piece by piece, to its very end."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self._file_ended:
                return
            chunk = await anext(self._chunks, b"")
            if not chunk:
                raise Denied("MalformedPOSTRequest", "The form ended within the file.")
            self._parse(chunk)

    def _parse(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise Denied("MalformedPOSTRequest", f"The form cannot be read: {error}") from None

    def _count(self, read_bytes: int) -> None:
        self._fields_bytes += read_bytes
        if self._fields_bytes > LARGEST_FORM_BYTES:
            raise Denied("MaxPostPreDataLengthExceeded", "The fields beside the file are too large.")

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        self._disposition = b""
        if name == "file":
            self._file_begun = True
        elif not self._file_begun:
            self._field = self._fields[name] = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file_ended:
            return
        if self._file_begun:
            self._pieces.append(data[start:end])
        else:
            self._count(end - start)
            self._field += data[start:end]

    def _on_part_end(self) -> None:
        self._file_ended = self._file_begun


def _s3_error(request: Request, denied: Denied) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denied.code}</Code><Message>{html.escape(str(denied))}</Message>"
        f"<Resource>{html.escape(request.url.path)}</Resource><RequestId>{uuid4().hex}</RequestId></Error>"
    )
    return Response(body, S3_STATUS.get(denied.code, 400), media_type="application/xml")


# ── S3 notifications, SQS and EventBridge ────────────────────────────────────────


class Workers:
    """Threads that call the handlers of events. What they take stays in its queue until it is done."""

    def __init__(self, storage: FolderStorage, jobs: SqliteJobs, *, transcodes: int) -> None:
        self._storage = storage
        self._jobs = jobs
        self._uploads = jobs.beside("notifications")  # of keys, where the other is of video ids
        self._bell = threading.Condition()
        self._rings = 0
        self._stopping = threading.Event()
        check = partial(self._work_off, self._uploads, "check_upload", self._upload_event)
        loops: list[Callable[[], None]] = [self._recover, *[check] * CHECKS, *[self._transcode] * transcodes]
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]

    def start(self) -> None:
        for queue in (self._uploads, self._jobs):
            queue.release_all()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more, and give what is running a few seconds."""
        self._stopping.set()
        self.ring()
        deadline = time.monotonic() + GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def notify(self, key: str) -> None:
        """An object was stored: once this returns it will be checked, even if we are killed."""
        self._uploads.put(key)
        self.ring()

    def ring(self) -> None:
        """There may be something to do."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def _transcode(self) -> None:
        if sys.platform == "linux":  # a thread's own there, and its ffmpeg's: answers come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        self._work_off(self._jobs, "transcode_video", sqs_event)

    def _work_off(self, queue: SqliteJobs, function: str, event_of: Callable[[Job], dict[str, Any]]) -> None:
        while not self._stopping.is_set():
            heard = self._rings
            try:
                job = queue.receive()
                if job is None:
                    self._wait(heard)
                elif self._deliver(function, event_of, job):
                    queue.done(job)
                else:
                    queue.give_back(job, delay_s=min(2 ** (job.receives - 1), LONGEST_PAUSE_S))
            except Unavailable:
                log.exception("The queue of %s does not answer.", function)
                self._stopping.wait(POLL_S)

    def _deliver(self, function: str, event_of: Callable[[Job], dict[str, Any]], job: Job) -> bool:
        """Whether the handler took it."""
        try:
            reply = invoke(function, event_of(job), EVENT_TIMEOUT_S)
        except Exception:
            log.exception("%s broke; it gets the event again.", function)
            return False
        finally:
            self.ring()  # it may have put a job
        return not (reply and reply["batchItemFailures"])

    def _wait(self, heard: int) -> None:
        with self._bell:
            self._bell.wait_for(lambda: self._rings != heard, POLL_S)

    def _upload_event(self, upload: Job) -> dict[str, Any]:
        key = upload.video_id
        try:
            stored = self._storage.stat(key)
        except FileNotFoundError:  # deleted meanwhile; S3 would not know either
            return s3_event(key, size_bytes=0, etag="")
        return s3_event(key, size_bytes=stored.size_bytes, etag=stored.etag)

    def _recover(self) -> None:
        while not self._stopping.is_set():
            try:
                invoke("recover_videos", scheduled_event(), EVENT_TIMEOUT_S)
            except Exception:
                log.exception("recover_videos broke.")
            self.ring()
            self._stopping.wait(RECOVER_EVERY_S)


# ── One process, from a lock to a clean end ──────────────────────────────────────


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    log.addHandler(logging.StreamHandler())
    logging.getLogger("python_multipart").addHandler(logging.NullHandler())  # clients are told already
    lock = _lock(options.data)
    listener = _listen(options.host, options.port)
    url = options.public_url or f"http://localhost:{listener.getsockname()[1]}"
    app = _load(options.data, url, options.transcodes)
    app.state.greeting = f"TikToken answers on {url} (data in {options.data}, Ctrl-C stops it)"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=75,  # longer than any poller pauses
        timeout_graceful_shutdown=GRACE_S,
    )
    with suppress(SystemExit):  # uvicorn repeats the signal that stopped it
        uvicorn.Server(config).run(sockets=[listener])
    _end_children()
    lock.close()
    sys.stdout.flush()
    os._exit(0)  # waits for no thread: what was in the works is begun anew at the next start


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (%(default)s: only this machine)"
    )
    parser.add_argument("--port", type=int, default=8000, help="0 takes any that is free (%(default)s)")
    parser.add_argument(
        "--data", type=Path, default=Path(".data"), help="folder for everything (%(default)s)"
    )
    parser.add_argument("--public-url", help="where clients reach us, if not at http://localhost:PORT")
    parser.add_argument(
        "--transcodes", type=int, default=os.cpu_count() or 1, help="how many at a time (%(default)s)"
    )
    return parser.parse_args()


def _lock(folder: Path) -> TextIO:
    """Hold the folder for as long as the returned file is open; the kernel lets go if we are killed."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"Another server works on {folder}: stop it, or choose another folder with --data.")
    return lock


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except (OSError, OverflowError) as error:
        reason, _, _ = str(error).partition(" (while")
        sys.exit(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port or --host.")
    # asyncio does this only for sockets it makes; without it, answers wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _load(folder: Path, url: str, transcodes: int) -> Starlette:
    """The application, with every handler imported: they read the environment then."""
    folder = folder.resolve()
    _end_orphans(folder / "work")
    for leftover in ("incoming", "work"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    os.environ.update(STORAGE_MODE="local", LOCAL_FOLDER=str(folder), PUBLIC_URL=url)
    for function in (*ROUTES.values(), *EVENT_HANDLERS):
        import_module(function)
    service = wiring.service()
    assert isinstance(service.storage, FolderStorage)
    assert isinstance(service.jobs, SqliteJobs)
    return make_app(service.storage, Workers(service.storage, service.jobs, transcodes=transcodes))


def make_app(storage: FolderStorage, workers: Workers) -> Starlette:
    @asynccontextmanager
    async def work_on(app: Starlette) -> AsyncIterator[None]:
        workers.start()
        print(app.state.greeting, flush=True)
        print("For development: it trusts whoever connects.", file=sys.stderr)
        yield
        await run_in_threadpool(workers.stop)

    cors = Middleware(
        CORSMiddleware,
        allow_origins=wiring.http_settings().allowed_origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=api.EXPOSED_HEADERS,
        max_age=86400,
    )
    return Starlette(
        routes=[*Gateway(workers.ring).routes(), *Bucket(storage, workers.notify).routes()],
        middleware=[cors],
        exception_handlers={VideoError: refuse, HTTPException: refuse_route, ClientDisconnect: hang_up},
        lifespan=work_on,
    )


def _end_orphans(work: Path) -> None:
    """Kill the tools of a server that was killed: it had the lock on this folder that we have now."""
    for pid, _, command in _processes():
        if Path(command.split()[0]).name.startswith(("ffmpeg", "ffprobe")) and f"{work}/" in command:
            _kill(pid)


def _end_children() -> None:
    """Kill what the handlers started: an ffmpeg would work on for a server that is gone."""
    for pid, parent, _ in _processes():
        if parent == os.getpid():
            _kill(pid)


def _processes() -> Iterator[tuple[int, int, str]]:
    """Id, parent and command line of each; none where there is no ps, as in small containers."""
    if ps := shutil.which("ps"):
        listed = subprocess.run(
            [ps, "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=False
        )
        for line in listed.stdout.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            yield int(pid), int(parent), command


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
