"""POST /upload: register a video and answer with a ticket, or take the file itself and check it.

POST /preflight: judge what an app knows of a clip, before it sends it.
"""

import base64
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos import form, steps, views
from videos.api import asker, base_url, json_body, make_api
from videos.errors import BadRequest
from videos.logs import logged, logger
from videos.wiring import http_settings, service

UPLOAD_EXAMPLE = '{"filename": "a.mp4", "content_type": "video/mp4", "size": 1048576}, size in bytes'
PREFLIGHT_EXAMPLE = '{"size": 1048576, "duration": 12.5, "width": 720, "height": 1280}, what is known of it'
LONGEST_ECHO = 200  # characters
Asked = TypeVar("Asked")

app = make_api(http_settings().allowed_origins)


@app.post("/upload")
def request_upload() -> tuple[dict[str, Any], int]:
    owner = _owner()
    kind = app.current_event.headers.get("content-type", "")
    if kind.lower().startswith("multipart/form-data"):
        return take_file(kind, owner)
    video, ticket = steps.request_upload(_asked(steps.UploadRequest, UPLOAD_EXAMPLE), service(), owner)
    logger.info("ticket", method=ticket.method)
    return views.ticket(video, ticket, _base_url()), HTTPStatus.CREATED


@app.post("/preflight")
def preflight() -> dict[str, Any]:
    _owner()  # theirs only to know: nothing is kept
    return views.preflight(steps.preflight(_asked(steps.PreflightRequest, PREFLIGHT_EXAMPLE), service()))


def take_file(content_type: str, owner: str) -> tuple[dict[str, Any], int]:
    with tempfile.TemporaryDirectory(prefix="form-") as folder:
        sent = form.file_of(_body_bytes(), content_type, Path(folder))
        video = steps.receive_file(
            sent.filename,
            sent.content_type,
            sent.path,
            service(),
            poster_time=sent.poster_time,
            owner=owner,
        )
    assert video.media
    logger.info("received", state=video.state)
    answer = {"id": video.id, "url": views.video_url(video, _base_url()), "specs": views.specs(video.media)}
    return {**answer, "state": video.state, "links": views.links(video, _base_url())}, HTTPStatus.CREATED


def _asked(kind: type[Asked], example: str) -> Asked:
    try:
        return msgspec.convert(json_body(app), kind)
    except msgspec.ValidationError as error:
        raise BadRequest(
            f"The request does not fit: {_short(error)}.", suggestions=[f"Send {example}."]
        ) from None


def _short(error: Exception) -> str:
    """It may repeat what was sent."""
    text = str(error)
    return text if len(text) <= LONGEST_ECHO else f"{text[:LONGEST_ECHO]}…"


def _body_bytes() -> bytes:
    body = app.current_event.body or ""
    try:
        return base64.b64decode(body) if app.current_event.is_base64_encoded else body.encode()
    except ValueError:
        raise BadRequest("The body is not base64.", suggestions=["Send the form as it is."]) from None


def _owner() -> str:
    return asker(app, http_settings().access)


def _base_url() -> str:
    return base_url(app, http_settings().public_url)


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
