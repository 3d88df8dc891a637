"""What every HTTP handler shares: the resolver, request bodies, and the status code of each error."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, CORSConfig, Response, content_types
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent

from videos import errors
from videos.errors import UnknownRoute, VideoError
from videos.suggestions import SuggestionsFor
from videos.telemetry.logs import TOOL_FAILED, UNHANDLED, logger, request_id
from videos.web.answers import ErrorAnswer
from videos.web.tokens import Access

STATUS_OF: dict[type[VideoError], HTTPStatus] = {
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.UnreadableBody: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.SlowRequest: HTTPStatus.REQUEST_TIMEOUT,
    errors.NoToken: HTTPStatus.UNAUTHORIZED,
    errors.BadToken: HTTPStatus.UNAUTHORIZED,
    errors.ExpiredToken: HTTPStatus.UNAUTHORIZED,
    errors.ExpiredLink: HTTPStatus.FORBIDDEN,
    errors.ForbiddenHost: HTTPStatus.MISDIRECTED_REQUEST,
    errors.ForbiddenOrigin: HTTPStatus.FORBIDDEN,
    errors.QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnknownRoute: HTTPStatus.NOT_FOUND,
    errors.WrongMethod: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.UnknownVideo: HTTPStatus.NOT_FOUND,
    errors.NotPlayable: HTTPStatus.CONFLICT,
    errors.Rejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.KeyReused: HTTPStatus.CONFLICT,
    errors.WrongMove: HTTPStatus.CONFLICT,
    errors.LostRace: HTTPStatus.CONFLICT,
    errors.BadMedia: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ToolFailed: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ToolExhausted: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
}
# What a web page may read of an answer besides its body (CORS).
EXPOSED_HEADERS = ["ETag", "Location", "Retry-After", "WWW-Authenticate", "X-Request-Id"]
REQUEST_ID = "X-Request-Id"  # in every answer, and as correlation_id in every log line about the request
IDEMPOTENCY_KEY = "Idempotency-Key"
REGISTERS = "/s3/params"  # the one path whose GET changes something
BASE_URL = "baseUrl"  # a stage variable: the address that the local server was called by
ROUTES = (
    "POST /upload, GET /s3/params, POST /preflight, GET /videos, GET and DELETE /videos/{id}…, GET /health"
)

MAX_JSON_BYTES = 64 * 1024  # requests have some hundred; parsed, JSON can take thirty times its size
MAX_ECHO_CHARACTERS = 200
KEY_PATTERN = "[!-~]{1,255}"
_TRY_AGAIN = "Try again in a moment; the request itself may be fine."
# In every answer, unless a route sets another Cache-Control: answers contain passes, tickets and names.
SAFE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
INTERNAL_ERROR = ErrorAnswer(
    error="Something went wrong on our side.",
    suggestions=[_TRY_AGAIN],
    suggestions_for=SuggestionsFor.everyone(_TRY_AGAIN),
    code="internal_error",
)
Body = TypeVar("Body")
Handler = TypeVar("Handler", bound=Callable[..., Any])


class Api(APIGatewayRestResolver):
    """A resolver whose every answer has ``SAFE_HEADERS``, CORS preflights and errors too."""

    def read(self, rule: str) -> Callable[[Handler], Handler]:
        """Register a handler for GET, and for HEAD, whose answer is sent without its body."""
        return self.route(rule, method=["GET", "HEAD"])

    def resolve(self, event: Any, context: Any) -> dict[str, Any]:
        # Powertools sets these on a class that all resolvers of a process share.
        self.current_event, self.lambda_context = APIGatewayProxyEvent(event), context
        answer: dict[str, Any] = super().resolve(event, context)
        for name, value in SAFE_HEADERS.items():
            answer["multiValueHeaders"].setdefault(name, [value])
        answer["multiValueHeaders"][REQUEST_ID] = [request_id(event, context)]
        if event["httpMethod"] == "HEAD":
            answer["body"] = ""
        return answer


def make_api(allowed_origins: Sequence[str], public_url: str = "") -> Api:
    """A resolver that encodes the types of ``answers``, and answers CORS and every error.

    The path of ``public_url`` is left out of each request's: a custom domain with a base path sends it along.
    """
    first, *others = allowed_origins
    base_path = urlsplit(public_url).path.rstrip("/")
    app = Api(
        cors=CORSConfig(
            allow_origin=first,
            extra_origins=others,
            allow_headers=["If-None-Match", IDEMPOTENCY_KEY],
            expose_headers=EXPOSED_HEADERS,
            max_age=86400,
        ),
        serializer=_encode,
        strip_prefixes=[base_path] if base_path else None,
    )

    @app.exception_handler(VideoError)
    def on_video_error(error: VideoError) -> Response[dict[str, Any]]:
        if error.public:  # the answer does not tell
            logger.warning(TOOL_FAILED, error=str(error))
        return _error_response(error)

    @app.not_found
    def on_not_found(_: NotFoundError) -> Response[dict[str, Any]]:
        return _error_response(no_such_route())

    @app.exception_handler(Exception)
    def on_unhandled(_: Exception) -> Response[ErrorAnswer]:
        logger.exception(UNHANDLED)
        return Response(HTTPStatus.INTERNAL_SERVER_ERROR, content_types.APPLICATION_JSON, INTERNAL_ERROR)

    return app


def answer(error: VideoError) -> tuple[HTTPStatus, dict[str, Any], dict[str, str]]:
    """The status, body and headers of the answer to a request that raised ``error``.

    The body is an ``ErrorAnswer`` as a dict, for the local server, which answers some errors itself.
    """
    body = ErrorAnswer(
        error=error.public or str(error),
        suggestions=list(error.suggestions),
        suggestions_for=error.suggestions_for,
        code=error.code,
        **error.details,
    )
    headers = {**SAFE_HEADERS}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.NoToken):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.BadToken):  # its texts contain nothing of the request: nothing to escape
        headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{error}"'
    return STATUS_OF[type(error)], _as_dict(body), headers


def internal_error() -> dict[str, Any]:
    """``INTERNAL_ERROR`` as a dict, for the local server."""
    return _as_dict(INTERNAL_ERROR)


def _as_dict(answer: ErrorAnswer) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(_encode(answer))
    return fields


def no_such_route() -> UnknownRoute:
    return UnknownRoute("No such route.", suggestions=[f"The routes are {ROUTES}."])


def authenticated_owner(app: APIGatewayRestResolver, access: Access | None) -> str:
    """The owner id of the request's token; "" while access is open. Raises as ``Access.owner``."""
    return access.owner(app.current_event.headers.get("authorization", "")) if access else ""


def base_url(app: APIGatewayRestResolver, public_url: str) -> str:
    """The URL that clients call this API by: ``public_url`` if set, otherwise that of the request."""
    context = app.current_event.request_context
    by_request = app.current_event.stage_variables.get(BASE_URL)
    return public_url or by_request or f"https://{context['domainName']}/{context['stage']}"


def repeatable_key(app: APIGatewayRestResolver, owner: str) -> str | None:
    """A hash of the request's ``Idempotency-Key`` and its owner; None without one. Raises BadRequest."""
    key = app.current_event.headers.get(IDEMPOTENCY_KEY.lower())
    if key is None:
        return None
    if not re.fullmatch(KEY_PATTERN, key):
        raise errors.BadRequest(
            f"{IDEMPOTENCY_KEY} must have 1 to 255 characters of ASCII, without spaces.",
            suggestions=["Send a new UUID with every new request, and the same one with a repeat."],
        )
    return hashed(f"{owner}\n{key}")


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def json_body(
    app: APIGatewayRestResolver, decoder: msgspec.json.Decoder[Body], example: str
) -> tuple[Body, list[str]]:
    """The JSON body of a request, decoded, and the names of all its fields.

    Args:
        decoder: made at import. Two threads that build one at the same time can crash the process.
        example: a valid body, for the suggestions.

    Raises:
        UnreadableBody: its Content-Type is not JSON.
        BadRequest: it is not JSON, or a field is missing or of the wrong type.
        BodyTooLarge: it has more than ``MAX_JSON_BYTES``.
    """
    kind = app.current_event.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", ""):
        raise errors.UnreadableBody(
            f"Unsupported content type: {kind[:100]!r}",
            suggestions=["Send Content-Type: application/json, or multipart/form-data with the file in it."],
        )
    if len(app.current_event.body or "") > MAX_JSON_BYTES:
        raise errors.BodyTooLarge(
            f"The JSON body exceeds {MAX_JSON_BYTES} bytes.",
            suggestions=[f"Send {example}.", "Send the file itself to the upload.url of the ticket."],
        )
    try:
        parsed = json.loads(app.current_event.decoded_body or "", parse_constant=_reject_constant)
        # Half a surrogate pair, as in a file name cut off by its app, is legal in JSON but not in UTF-8.
        text = json.dumps(parsed, ensure_ascii=False).encode(errors="ignore")
        return decoder.decode(text), list(parsed)
    except msgspec.ValidationError as error:
        raise errors.BadRequest(
            f"Invalid request: {_shortened(error)}.", suggestions=[f"Send {example}."]
        ) from None
    except (ValueError, RecursionError):  # msgspec's DecodeError is a ValueError
        raise errors.BadRequest("The body is not valid JSON.", suggestions=[f"Send {example}."]) from None


def _reject_constant(name: str) -> None:
    """Python's json accepts NaN and Infinity, which are not JSON."""
    raise ValueError(name)


def _shortened(error: Exception) -> str:
    """The text of an error that may repeat what the client sent."""
    text = str(error)
    return text if len(text) <= MAX_ECHO_CHARACTERS else f"{text[:MAX_ECHO_CHARACTERS]}…"


def _error_response(error: VideoError) -> Response[dict[str, Any]]:
    status, body, headers = answer(error)
    log = logger.exception if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logger.info
    log("request rejected", code=error.code, status=status)
    return Response(status, content_types.APPLICATION_JSON, body, headers={**headers})


def _encode(body: object) -> str:
    return msgspec.json.encode(body).decode()
