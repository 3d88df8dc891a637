"""The HTTP vocabulary: resolver, answers, and the one table from errors to status codes."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from videos import errors
from videos.access import Access
from videos.errors import UnknownRoute, VideoError
from videos.logs import logger

STATUS_OF: dict[type[VideoError], HTTPStatus] = {
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.UnreadableBody: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SlowRequest: HTTPStatus.REQUEST_TIMEOUT,
    errors.NoToken: HTTPStatus.UNAUTHORIZED,
    errors.BadToken: HTTPStatus.UNAUTHORIZED,
    errors.ExpiredToken: HTTPStatus.UNAUTHORIZED,
    errors.ExpiredLink: HTTPStatus.FORBIDDEN,
    errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnknownRoute: HTTPStatus.NOT_FOUND,
    errors.WrongMethod: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.UnknownVideo: HTTPStatus.NOT_FOUND,
    errors.NotPlayable: HTTPStatus.CONFLICT,
    errors.Refused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.WrongMove: HTTPStatus.CONFLICT,
    errors.LostRace: HTTPStatus.CONFLICT,
    errors.BadMedia: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ToolFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
}
# What a web page may read of an answer besides its body.
EXPOSED_HEADERS = ["ETag", "Location", "Retry-After", "WWW-Authenticate"]
ROUTES = "POST /upload, POST /preflight, GET /videos, GET and DELETE /videos/{id}…, GET /health"

LARGEST_JSON_BYTES = 64 * 1024  # ours are of some hundred; parsed, they can take thirty times as much


def make_api(allowed_origins: Sequence[str]) -> APIGatewayRestResolver:
    """A resolver that answers CORS and, in the usual shape, every error."""
    first, *others = allowed_origins
    app = APIGatewayRestResolver(
        cors=CORSConfig(
            allow_origin=first,
            extra_origins=others,
            allow_headers=["If-None-Match"],
            expose_headers=EXPOSED_HEADERS,
            max_age=86400,
        )
    )

    @app.exception_handler(VideoError)
    def refuse(error: VideoError) -> Response[str]:
        return _refusal(error)

    @app.not_found
    def unknown_route(_: NotFoundError) -> Response[str]:
        return _refusal(no_such_route())

    @app.exception_handler(Exception)
    def break_down(_: Exception) -> Response[str]:
        logger.exception("unexpected")
        return _json(HTTPStatus.INTERNAL_SERVER_ERROR, internal_error(), {"Cache-Control": "no-store"})

    return app


def answer(error: VideoError) -> tuple[HTTPStatus, dict[str, Any], dict[str, str]]:
    """The status, body and headers that say ``error`` to a client."""
    body = {"error": str(error), "suggestions": list(error.suggestions), "code": error.code, **error.details}
    headers = {"Cache-Control": "no-store"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.NoToken):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.BadToken):  # its sentences are ours alone: nothing to escape
        headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{error}"'
    return STATUS_OF[type(error)], body, headers


def internal_error() -> dict[str, Any]:
    return {
        "error": "Something went wrong on our side.",
        "suggestions": ["Try again in a moment; the request itself may be fine."],
        "code": "internal_error",
    }


def no_such_route() -> UnknownRoute:
    return UnknownRoute("Nothing answers here.", suggestions=[f"The routes are {ROUTES}."])


def asker(app: APIGatewayRestResolver, access: Access | None) -> str:
    """Who is asking; "" for everybody while access is open. Raises as ``Access.owner``."""
    return access.owner(app.current_event.headers.get("authorization", "")) if access else ""


def base_url(app: APIGatewayRestResolver, public_url: str) -> str:
    """Where clients reach this API: the setting, else what API Gateway was called by."""
    if public_url:
        return public_url
    context = app.current_event.request_context
    return f"https://{context['domainName']}/{context['stage']}"


def json_body(app: APIGatewayRestResolver) -> Any:
    """The parsed body of a request.

    Raises:
        UnreadableBody: it does not say that it is JSON.
        BadRequest: it is not.
        BodyTooLarge: there is more of it than we ever ask for.
    """
    kind = app.current_event.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", ""):
        raise errors.UnreadableBody(
            f"This route does not read {kind[:100]!r}.",
            suggestions=["Send Content-Type: application/json, or multipart/form-data with the file in it."],
        )
    if len(app.current_event.body or "") > LARGEST_JSON_BYTES:
        raise errors.BodyTooLarge(
            f"This route takes JSON of at most {LARGEST_JSON_BYTES} bytes.",
            suggestions=["Send what the README names; the file goes where the ticket says."],
        )
    try:
        return json.loads(app.current_event.decoded_body or "", parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise errors.BadRequest(
            "The body is not JSON.",
            suggestions=['Send {"filename": "clip.mp4", "content_type": "video/mp4", "size": 1048576}.'],
        ) from None


def _no_number(name: str) -> None:
    """Python reads NaN and Infinity; JSON has neither, and no rule expects them."""
    raise ValueError(name)


def _refusal(error: VideoError) -> Response[str]:
    status, body, headers = answer(error)
    log = logger.exception if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logger.info  # not our failure
    log("refused", code=error.code, status=status)
    return _json(status, body, headers)


def _json(status: HTTPStatus, body: dict[str, Any], headers: Mapping[str, str]) -> Response[str]:
    return Response(int(status), content_types.APPLICATION_JSON, json.dumps(body), headers=dict(headers))
