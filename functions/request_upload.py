"""POST /upload: register a video and return an upload ticket, or receive the file itself and check it.

GET /s3/params: the same ticket, as Uppy asks for it. POST /preflight: check what an app knows about a clip
before it uploads it.
"""

import base64
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import BadRequest, VideoError
from videos.model import Video
from videos.ports import Ticket
from videos.steps.preflight import preflight
from videos.steps.request_upload import Repeatable, receive_file, request_upload
from videos.telemetry.logs import logged, logger
from videos.web import answers, companion, form, views
from videos.web.api import (
    IDEMPOTENCY_KEY,
    authenticated_owner,
    base_url,
    hashed,
    json_body,
    make_api,
    repeatable_key,
)
from videos.web.requests import PreflightRequest, UploadRequest, custom_text, names_of
from videos.wiring import http_settings, service

UPLOAD_EXAMPLE = '{"filename": "a.mp4", "content_type": "video/mp4", "size": 1048576}, size in bytes'
PREFLIGHT_EXAMPLE = (
    '{"size": 1048576, "duration": 12.5, "width": 720, "height": 1280}, with the fields you know'
)
MAX_IGNORED = 20  # names, of so many characters, that an answer repeats
MAX_NAME_CHARS = 40
# Built at import: two threads building a decoder of the same type crash the process (msgspec 0.22).
_decode_upload = msgspec.json.Decoder(UploadRequest)
_decode_preflight = msgspec.json.Decoder(PreflightRequest)
_KNOWN = names_of(PreflightRequest)

app = make_api(http_settings().allowed_origins, http_settings().public_url)


@app.post("/upload")
def post_upload() -> Response[answers.Ticket | answers.CheckedUpload]:
    owner = _owner()
    key = repeatable_key(app, owner)
    kind = app.current_event.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        if key:
            raise BadRequest(
                f"{IDEMPOTENCY_KEY} is for tickets, not for forms.",
                suggestions=["Ask for a ticket with JSON, or leave the header out."],
            )
        return receive_form(kind, owner)
    wanted, _ = json_body(app, _decode_upload, UPLOAD_EXAMPLE)
    repeatable = Repeatable(key=key, request=_said(wanted)) if key else None
    video, ticket = _register(wanted, owner, repeatable)
    return _created(video, views.ticket(video, ticket, _base_url()))


@app.read("/s3/params")
def get_params() -> Response[Any]:
    """HEAD registers nothing: nobody could use the ticket."""
    try:
        owner = _owner()
        wanted = companion.upload_request(app.current_event.query_string_parameters)
        if app.current_event.http_method == "HEAD":
            return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, "")
        video, ticket = _register(wanted, owner, None)
    except VideoError as error:
        error.details["message"] = error.public or str(error)  # where Uppy looks for what to show
        raise
    body = views.companion_ticket(video, ticket, _base_url())
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, body)


def _register(wanted: UploadRequest, owner: str, repeatable: Repeatable | None) -> tuple[Video, Ticket]:
    video, ticket = request_upload(
        service(),
        filename=wanted.filename or "",
        content_type=wanted.content_type or "",
        facts=wanted.facts(),
        method=wanted.method,
        exact_size=wanted.exact_size,
        poster_time_s=wanted.poster_time,
        on_violation=wanted.on_violation,
        fit=wanted.fit,
        external_id=wanted.external_id or "",
        custom=custom_text(wanted.custom),
        owner=owner,
        repeatable=repeatable,
    )
    logger.info("ticket issued", method=ticket.method)
    return video, ticket


@app.post("/preflight")
def post_preflight() -> answers.Verdict:
    _owner()  # requires a valid token; nothing is stored
    known, names = json_body(app, _decode_preflight, PREFLIGHT_EXAMPLE)
    verdict = preflight(service(), on_violation=known.on_violation, **known.facts())
    ignored = [name[:MAX_NAME_CHARS] for name in names if name not in _KNOWN][:MAX_IGNORED]
    return views.preflight(
        verdict.violations, verdict.fixes, verdict.unjudged, verdict.fitting_bit_rate, ignored
    )


def receive_form(content_type: str, owner: str) -> Response[Any]:
    with tempfile.TemporaryDirectory(prefix="form-") as folder:
        sent = form.file_of(_body_bytes(), content_type, Path(folder))
        video = receive_file(
            sent.filename,
            sent.content_type,
            sent.path,
            service(),
            poster_time_s=sent.poster_time,
            on_violation=sent.on_violation,
            fit=sent.fit,
            external_id=sent.external_id,
            custom=custom_text(sent.custom),
            owner=owner,
        )
    assert video.media
    logger.info("received", state=video.state)
    return _created(video, views.checked_upload(video, video.media, _base_url()))


def _created(video: Video, body: answers.Ticket | answers.CheckedUpload) -> Response[Any]:
    headers: dict[str, str | list[str]] = {"Location": views.location(video, _base_url())}
    return Response(HTTPStatus.CREATED, content_types.APPLICATION_JSON, body, headers=headers)


def _said(request: UploadRequest) -> str:
    """A hash of what a request says, however it is written."""
    return hashed(msgspec.json.encode(request, order="deterministic").decode())


def _body_bytes() -> bytes:
    body = app.current_event.body or ""
    try:
        return base64.b64decode(body) if app.current_event.is_base64_encoded else body.encode()
    except ValueError:
        raise BadRequest("The body is not valid base64.", suggestions=["Send the raw form body."]) from None


def _owner() -> str:
    return authenticated_owner(app, http_settings().access)


def _base_url() -> str:
    return base_url(app, http_settings().public_url)


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
