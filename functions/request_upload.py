"""POST /upload: register a video and return an upload ticket, or receive the file itself and check it.

POST /preflight: check what an app knows about a clip before it uploads it.
"""

import base64
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import BadRequest
from videos.steps.preflight import PreflightRequest, preflight
from videos.steps.request_upload import UploadRequest, receive_file, request_upload
from videos.telemetry.logs import logged, logger
from videos.web import answers, form, views
from videos.web.api import authenticated_owner, base_url, json_body, make_api
from videos.wiring import http_settings, service

UPLOAD_EXAMPLE = '{"filename": "a.mp4", "content_type": "video/mp4", "size": 1048576}, size in bytes'
PREFLIGHT_EXAMPLE = (
    '{"size": 1048576, "duration": 12.5, "width": 720, "height": 1280}, with the fields you know'
)
# Built at import: two threads building a decoder of the same type crash the process (msgspec 0.22).
_decode_upload = msgspec.json.Decoder(UploadRequest)
_decode_preflight = msgspec.json.Decoder(PreflightRequest)

app = make_api(http_settings().allowed_origins, http_settings().public_url)


@app.post("/upload")
def post_upload() -> tuple[answers.Ticket | answers.CheckedUpload, int]:
    owner = _owner()
    kind = app.current_event.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        return receive_form(kind, owner)
    video, ticket = request_upload(json_body(app, _decode_upload, UPLOAD_EXAMPLE), service(), owner)
    logger.info("ticket issued", method=ticket.method)
    return views.ticket(video, ticket, _base_url()), HTTPStatus.CREATED


@app.post("/preflight")
def post_preflight() -> answers.Verdict:
    _owner()  # requires a valid token; nothing is stored
    verdict = preflight(json_body(app, _decode_preflight, PREFLIGHT_EXAMPLE), service())
    return views.preflight(verdict.violations, verdict.unjudged, verdict.fitting_bit_rate)


def receive_form(content_type: str, owner: str) -> tuple[answers.CheckedUpload, int]:
    with tempfile.TemporaryDirectory(prefix="form-") as folder:
        sent = form.file_of(_body_bytes(), content_type, Path(folder))
        video = receive_file(
            sent.filename,
            sent.content_type,
            sent.path,
            service(),
            poster_time=sent.poster_time,
            owner=owner,
        )
    assert video.media
    logger.info("received", state=video.state)
    return views.checked_upload(video, video.media, _base_url()), HTTPStatus.CREATED


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
