"""S3, as far as upload tickets and playback links need it: the URLs that FolderStorage signs."""

import html
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from local_aws.connection import within
from videos.errors import StorageFull, Unavailable
from videos.local import LARGEST_FORM_BYTES, Denied, FolderStorage, Upload

S3_STATUS = {  # every other refusal is a 400
    "AccessDenied": 403,
    "SignatureDoesNotMatch": 403,
    "NoSuchKey": 404,
    "MissingContentLength": 411,
    "InvalidRange": 416,
    "ServiceUnavailable": 503,
    "InsufficientStorage": 507,  # no code of S3's, which is never full
}
LONGEST_ECHO = 1000  # characters
UPLOAD_S = 300  # for a file to come in
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


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
        except TimeoutError:
            return _s3_error(request, Denied("RequestTimeout", "The body came too slowly."))
        except ClientDisconnect:
            return _s3_error(request, Denied("IncompleteBody", "The body ended too soon."))
        except StorageFull as error:
            return _s3_error(request, Denied("InsufficientStorage", str(error)))
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
            async for piece in within(UPLOAD_S, request.stream()):
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
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        _check_range(request, stored.size_bytes)
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
        self._chunks = within(UPLOAD_S, request.stream())
        try:
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
        except FormParserError as error:
            raise Denied("MalformedPOSTRequest", f"The form cannot be read: {error}") from None
        self._header = self._value = self._disposition = b""
        self._fields: dict[str, bytearray] = {}
        self._field = bytearray()  # the value being read
        self._fields_bytes = 0
        self._pieces: deque[bytes] = deque()  # of the file: read, not yet handed on
        self._file_begun = self._file_ended = False

    async def fields(self) -> dict[str, str]:
        """All that comes before the file."""
        read_bytes = 0
        while not self._file_begun:
            if read_bytes > LARGEST_FORM_BYTES:  # what is no field counts too, such as empty lines
                raise _too_much_before_the_file()
            chunk = await anext(self._chunks, b"")
            if not chunk:
                raise Denied("InvalidArgument", "POST requires one file: the form's last field, named file.")
            read_bytes += len(chunk)
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
            raise _too_much_before_the_file()

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


def _too_much_before_the_file() -> Denied:
    return Denied("MaxPostPreDataLengthExceeded", "The fields beside the file are too large.")


def _check_range(request: Request, size_bytes: int) -> None:
    """Starlette answers many ranges at once, and refuses odd ones in its own words. S3 does neither."""
    asked = request.headers.get("range", "")
    one = _RANGE.fullmatch(asked)
    if one and one[0] != "bytes=-":
        first, last = (int(number) if number else None for number in one.groups())
        if first is None:
            fits = bool(last) and size_bytes > 0
        else:
            fits = first < size_bytes and (last is None or first <= last)
        if not fits:
            raise Denied("InvalidRange", "The requested range is not satisfiable")
    elif asked:  # the whole object
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]


def _xml(text: str) -> str:
    """For XML, which knows no control characters, not even escaped; and it may repeat what was sent."""
    return html.escape("".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_ECHO]))


def _s3_error(request: Request, denied: Denied) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{denied.code}</Code><Message>{_xml(str(denied))}</Message>"
        f"<Resource>{_xml(request.scope['path'])}</Resource><RequestId>{uuid4().hex}</RequestId></Error>"
    )
    return Response(body, S3_STATUS.get(denied.code, 400), media_type="application/xml")
