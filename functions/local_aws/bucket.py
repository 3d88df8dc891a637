"""S3, as far as upload tickets and playback links need it: the URLs that FolderStorage signs."""

import html
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from local_aws.addresses import Addresses
from local_aws.connection import within
from videos.errors import StorageFull, Unavailable
from videos.keys import INBOX
from videos.stores.local.folder import FolderStorage, Upload
from videos.stores.local.tickets import MAX_FORM_BYTES, Denied
from videos.telemetry.logs import STORAGE_DENIED, logger
from videos.web import views

S3_STATUS = {  # every other error is a 400
    "AccessDenied": 403,
    "SignatureDoesNotMatch": 403,
    "NoSuchKey": 404,
    "MissingContentLength": 411,
    "PreconditionFailed": 412,
    "InvalidRange": 416,
    "ServiceUnavailable": 503,
    "InsufficientStorage": 507,  # not one of S3's codes: S3 is never full
}
MAX_ECHO_CHARACTERS = 1000
MAX_KEY_CHARACTERS = 100  # in the log
UPLOAD_TIMEOUT_S = 300  # for a whole file to arrive
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class Bucket:
    """The URLs that FolderStorage signs. ``on_stored`` gets the key before the client gets its answer."""

    def __init__(
        self, storage: FolderStorage, on_stored: Callable[[str], None], addresses: Addresses
    ) -> None:
        self._storage = storage
        self._on_stored = on_stored
        self._addresses = addresses

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
        except TimeoutError:
            return _s3_error(request, Denied("RequestTimeout", "The body arrived too slowly."))
        except ClientDisconnect:
            return _s3_error(request, Denied("IncompleteBody", "The body ended before its announced length."))
        except StorageFull as error:
            return _s3_error(request, Denied("InsufficientStorage", str(error)))
        except Unavailable as error:
            return _s3_error(request, Denied("ServiceUnavailable", str(error)))

    async def _post(self, request: Request) -> Response:
        form = UploadForm(request)
        fields = await form.fields()
        request.state.key = fields.get("key", "")
        announced_bytes = int(request.headers.get("content-length", 0))
        permit = self._storage.tickets.verify_post(fields, announced_bytes=announced_bytes)
        with self._storage.upload(permit) as upload:
            async for piece in form.file():
                upload.write(piece)
            kept = await self._keep(upload, 204)
        location = self._storage.tickets.location(permit.key)  # of S3's answers, to POST alone
        kept.headers["Location"] = views.absolute(location, self._addresses.base_url(request.scope))
        return kept

    async def _put(self, request: Request) -> Response:
        permit = self._storage.tickets.verify_put(
            request.path_params["key"], request.query_params, request.headers
        )
        with self._storage.upload(permit) as upload:
            async for piece in within(UPLOAD_TIMEOUT_S, request.stream()):
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
        content_type = self._storage.tickets.verify_get(key, request.query_params, request.method)
        try:
            stored = self._storage.stat(key)
        except FileNotFoundError:
            raise Denied("NoSuchKey", "The specified key does not exist.") from None
        headers = {"ETag": f'"{stored.etag}"'}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        _check_range(request, stored.size_bytes)
        return FileResponse(self._storage.path(key), media_type=content_type, headers=headers)


class UploadForm:
    """A multipart form as it arrives: first its fields, then the bytes of its file.

    Never more than a chunk of it is in memory. As in S3, what follows the file is ignored.
    """

    def __init__(self, request: Request) -> None:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != "multipart/form-data" or not options.get("boundary"):
            raise Denied(
                "PreconditionFailed",
                "The body must be multipart/form-data, and Content-Type must name its boundary. "
                "Let your HTTP client write that header; do not set it yourself.",
            )
        # latin-1 decodes any header; only the names of fields are read.
        self._parser = PushMultipartParser(options["boundary"], header_charset="latin-1")
        self._events = self._parse(within(UPLOAD_TIMEOUT_S, request.stream()))
        self._in_file = False

    async def fields(self) -> dict[str, str]:
        """Every field before the file."""
        fields: dict[str, bytearray] = {}
        value = bytearray()
        async for event in self._events:
            if isinstance(event, MultipartSegment):
                if event.name == "file":
                    self._in_file = True
                    _check_size(sum(map(len, fields.values())))
                    return {name: value.decode(errors="replace") for name, value in fields.items()}
                value = fields[event.name] = bytearray()
            elif event:
                value += event
        raise Denied("InvalidArgument", "POST requires one file: the form's last field, named file.")

    async def file(self) -> AsyncIterator[bytes]:
        """The file, piece by piece."""
        async for event in self._events:
            if event is None:
                return
            yield event

    async def _parse(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[MultipartSegment | bytes | None]:
        """The parser's events: a segment, its bytes, None at its end."""
        read_bytes = 0
        try:
            async for chunk in chunks:
                read_bytes += len(chunk)
                for event in self._parser.parse(chunk):
                    yield event
                if not self._in_file:  # bytes that belong to no field count too, such as empty lines
                    _check_size(read_bytes)
            if read_bytes:
                self._parser.close()  # raises if the form is incomplete
        except MultipartError as error:
            raise Denied("MalformedPOSTRequest", f"Malformed form: {error}.") from None


def _check_size(fields_bytes: int) -> None:
    if fields_bytes > MAX_FORM_BYTES:
        raise Denied("MaxPostPreDataLengthExceeded", "The fields beside the file are too large.")


def _check_range(request: Request, size_bytes: int) -> None:
    """Let Starlette answer a range as S3 does: 416 if it is not satisfiable, the whole object if malformed.

    By itself, Starlette would answer several ranges at once and has error messages of its own.
    """
    header = request.headers.get("range", "")
    single = _RANGE.fullmatch(header)
    if single and single[0] != "bytes=-":
        first, last = (int(number) if number else None for number in single.groups())
        if first is None:
            satisfiable = bool(last) and size_bytes > 0
        else:
            satisfiable = first < size_bytes and (last is None or first <= last)
        if not satisfiable:
            raise Denied("InvalidRange", "The requested range is not satisfiable")
    elif header:
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _xml(text: str) -> str:
    """``text``, which may repeat input, for XML: cut, escaped, and without control characters."""
    text = text[:MAX_ECHO_CHARACTERS]
    return html.escape("".join(character if character.isprintable() else "?" for character in text))


def _s3_error(request: Request, denied: Denied) -> Response:
    """S3's answer to a denied request, which is logged: its key, never a signature or a policy."""
    status = S3_STATUS.get(denied.code, 400)
    key: str = getattr(request.state, "key", request.path_params.get("key", ""))
    about: dict[str, Any] = {"video_id": key.removeprefix(INBOX)[:64]} if key.startswith(INBOX) else {}
    logger.info(
        STORAGE_DENIED,
        **about,
        method=request.method,
        key=key[:MAX_KEY_CHARACTERS],
        code=denied.code,
        status=status,
        reason=str(denied)[:MAX_ECHO_CHARACTERS],
    )
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denied.code}</Code><Message>{_xml(str(denied))}</Message>"
        f"<Resource>{_xml(request.scope['path'])}</Resource><RequestId>{uuid4().hex}</RequestId></Error>"
    )
    return Response(body, status, media_type="application/xml")
