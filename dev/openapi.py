"""Write functions/videos/web/openapi.json from the types of the wire, and docs.html from that.

    make openapi

With --check it writes nothing, and exits with 1 if a file is out of date. With --record it takes a clip
through the local handlers first, and keeps what they answer as examples.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import read_video
from dev import openapi_events, openapi_examples
from dev.document_errors import OTHERS
from dev.openapi_page import page
from videos import __version__, errors
from videos.fix import Fix
from videos.steps.check_health import Health
from videos.steps.read_video import MAX_PAGE
from videos.suggestions import SuggestionsFor
from videos.web import answers, api, companion, requests

WEB = Path(answers.__file__).parent
SCHEMAS = "#/components/schemas/"
ID = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
STATES = list(answers.STATUS_IN.values())
ANSWERS = (
    *STATES,
    answers.Ticket,
    answers.CheckedUpload,
    answers.CompanionTicket,
    answers.Verdict,
    answers.VideoPage,
    answers.Metadata,
    answers.ErrorAnswer,
    Health,
    *openapi_events.KINDS.values(),
)
REQUESTS = (requests.UploadRequest, requests.UploadForm, requests.PreflightRequest)
ABOUT = f"""\
How an app uploads a video, follows it and plays it. Errors have a stable `code` for programs, and \
`error` and `suggestions` for people; the codes are listed with each status.

Unless access is open, every operation but `checkHealth`, `getDocument` and `getDocs` needs a bearer \
token; a playback link carries a `pass` instead. `HEAD` is answered wherever `GET` is. Every answer has \
`{api.REQUEST_ID}`.
"""

Errors = tuple[type[errors.VideoError], ...]
EVERY: Errors = (errors.ForbiddenHost, errors.TooManyRequests, errors.Unavailable)
TOKEN: Errors = (errors.NoToken, errors.BadToken, errors.ExpiredToken)
CHANGE: Errors = (errors.ForbiddenOrigin,)
BODY: Errors = (errors.BadRequest, errors.UnreadableBody, errors.BodyTooLarge, errors.SlowRequest)
VIDEO: Errors = (errors.UnknownVideo,)


def document() -> dict[str, Any]:
    """The document, as OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TikToken",
            "version": __version__,
            "summary": "Takes short portrait videos from phones, checks them, and has them played.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "Where this document is"}],
        "security": [{}, {"bearer": []}],
        "tags": [
            {"name": "upload", "description": "Ask for a ticket, and send the file where it says."},
            {"name": "videos", "description": "Follow a video, play it, delete it."},
            openapi_events.TAG,
            {"name": "service", "description": "About the service itself."},
        ],
        "paths": _paths(openapi_examples.kept()),
        "webhooks": openapi_events.webhooks(openapi_examples.kept()),
        "components": {
            "schemas": _schemas(),
            "responses": {
                _name(status): _error_response(status, codes) for status, codes in _codes().items()
            },
            "headers": {
                "RequestId": {
                    "description": "The id of this request, as in the log of the service",
                    "schema": {"type": "string"},
                },
                "RetryAfter": {"description": "Seconds to wait", "schema": {"type": "integer"}},
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


# ── Operations ───────────────────────────────────────────────────────────────────


def _paths(examples: openapi_examples.Examples) -> dict[str, Any]:
    video_id = _parameter("video_id", "path", {"type": "string", "pattern": f"^{ID}$"}, "As in the ticket")
    key = _parameter(
        api.IDEMPOTENCY_KEY,
        "header",
        {"type": "string", "pattern": f"^{api.KEY_PATTERN}$"},
        "With JSON only: a repeat of the request with the same key gets the same answer, for 24 hours",
    )
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": int(read_video.DEFAULT_LIMIT)}
    after = {"type": "string", "pattern": f"^{ID}$"}
    etag = _parameter(
        "If-None-Match", "header", {"type": "string"}, "An ETag: 304 while it is the current one"
    )
    link_pass = _parameter(
        "pass", "query", {"type": "string"}, "As in the links of metadata, in place of a token"
    )
    position = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    last_event_id = _parameter(
        "Last-Event-ID", "header", position, "The id of the last message, or 0 for all that are kept"
    )
    file = {"type": "string", "enum": list(read_video.FILES)}
    metadata = _ok("What is known about it", "Metadata")
    wait = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
    status_headers = {"ETag": {"schema": {"type": "string"}}, **wait}
    location = {"Location": {"schema": {"type": "string", "format": "uri"}, "description": "The video"}}
    redirect = {"Location": {"schema": {"type": "string", "format": "uri"}, "description": "A signed URL"}}
    playlist = {"schema": {"type": "string"}}

    def operation(
        name: str, tag: str, summary: str, responses: dict[str, Any], fails: Errors, **more: Any
    ) -> dict[str, Any]:
        return _operation(name, tag, summary, responses, fails, examples.get(name, {}), more)

    upload = (errors.Rejected, errors.QuotaExceeded, errors.KeyReused, errors.LostRace, errors.UnknownVideo)
    tools = (errors.ToolFailed, errors.ToolExhausted, errors.BadMedia, errors.StorageFull)
    read = (*TOKEN, *VIDEO)
    return {
        "/upload": {
            "post": operation(
                "requestUpload",
                "upload",
                "Ask for a ticket, or send the file itself as a form",
                {
                    "201": {
                        **_ok("A ticket, or the checked file", ["Ticket", "CheckedUpload"], headers=location),
                        "links": {name: _link(name) for name in ("getStatus", "getVideo", "deleteVideo")},
                    }
                },
                (*TOKEN, *BODY, *CHANGE, *upload, *tools),
                parameters=[key],
                requestBody=_body(json="UploadRequest", form="UploadForm"),
            )
        },
        api.REGISTERS: {
            "get": operation(
                "requestParams",
                "upload",
                "A ticket for a form, as Uppy asks its Companion for it",
                {"200": _ok("A ticket; HEAD gets none", "CompanionTicket")},
                (*TOKEN, *CHANGE, *upload[:2], errors.BadRequest, errors.UnreadableBody, errors.StorageFull),
                parameters=_companion_parameters(),
            )
        },
        "/preflight": {
            "post": operation(
                "preflight",
                "upload",
                "Would a clip like this be accepted?",
                {"200": _ok("The verdict", "Verdict")},
                (*TOKEN, *BODY, *CHANGE),
                requestBody=_body(json="PreflightRequest"),
            )
        },
        "/videos": {
            "get": operation(
                "listVideos",
                "videos",
                "The caller's videos, newest first",
                {"200": _ok("A page", "VideoPage")},
                (*TOKEN, errors.BadRequest, errors.UnknownRoute),
                parameters=[
                    _parameter("limit", "query", limit, "Videos a page"),
                    _parameter("after", "query", after, "From the previous page"),
                ],
            )
        },
        "/videos/{video_id}": {
            "parameters": [video_id],
            "get": operation("getVideo", "videos", "What is known about a video", {"200": metadata}, read),
            "delete": operation(
                "deleteVideo",
                "videos",
                "Delete a video, its upload and every output",
                {"204": {"description": "It is gone", "headers": _request_id()}},
                (*read, *CHANGE),
            ),
        },
        "/videos/{video_id}/metadata": {
            "parameters": [video_id],
            "get": operation("getMetadata", "videos", "The same as getVideo", {"200": metadata}, read),
        },
        "/videos/{video_id}/status": {
            "parameters": [video_id],
            "get": operation(
                "getStatus",
                "videos",
                "Follow a video; ask again after retry_after_ms",
                {
                    "200": _ok("Its state", "Status", headers=status_headers),
                    "304": {"description": "Nothing has changed", "headers": _request_id() | status_headers},
                },
                read,
                parameters=[etag],
            ),
        },
        "/videos/{video_id}/{file}": {
            "parameters": [video_id, _parameter("file", "path", file, "A media file, still or playlist")],
            "get": operation(
                "getFile",
                "videos",
                "Play a file",
                {
                    "200": {
                        "description": "A playlist or the index of the sprite, with signed URLs in it",
                        "headers": _request_id(),
                        "content": {read_video.HLS: playlist, "text/vtt": playlist},
                    },
                    "302": {"description": "Where the file is", "headers": _request_id() | redirect},
                },
                (*read, errors.ExpiredLink, errors.UnknownRoute, errors.NotPlayable),
                parameters=[link_pass],
            ),
        },
        "/events": {
            "get": operation(
                "listen",
                "events",
                "On the local server alone: what happens to the caller's videos, as server-sent events",
                {"200": {**openapi_events.stream(), "headers": _request_id()}},
                (*TOKEN, errors.BadRequest, errors.UnknownRoute),
                description=openapi_events.STREAM,
                parameters=[last_event_id],
                **{"x-local-only": True},
            )
        },
        "/health": {
            "get": operation(
                "checkHealth",
                "service",
                "Whether the service and what it needs are there",
                {"200": _ok("All is well", "Health"), "503": _ok("Something is missing", "Health")},
                (),
                security=[],
            )
        },
        "/openapi.json": {
            "get": operation(
                "getDocument",
                "service",
                "This document",
                {"200": _ok("This document", {"type": "object", "additionalProperties": True})},
                (),
                security=[],
            )
        },
        "/docs": {
            "get": operation(
                "getDocs",
                "service",
                "This document as a page",
                {
                    "200": {
                        "description": "A page",
                        "headers": _request_id(),
                        "content": {"text/html": {"schema": {"type": "string"}}},
                    }
                },
                (),
                security=[],
            )
        },
    }


def _operation(
    name: str,
    tag: str,
    summary: str,
    responses: dict[str, Any],
    fails: Errors,
    examples: dict[str, Any],
    more: dict[str, Any],
) -> dict[str, Any]:
    """An operation with its answers, its errors and what it was answered once."""
    failing: dict[str, Any] = {"500": {"$ref": "#/components/responses/" + _name(500)}}
    for status in {int(api.STATUS_OF[error]) for error in (*EVERY, *fails)}:
        failing[str(status)] = {"$ref": "#/components/responses/" + _name(status)}
    all_of_them = dict(sorted({**failing, **responses}.items()))
    for named, value in examples.items():
        code, _, about = named.partition(" ")
        if named == "request":
            more["requestBody"]["content"]["application/json"]["example"] = value
            continue
        if "$ref" in all_of_them[code]:  # the examples of an error are of one operation
            all_of_them[code] = _error_response(int(code), _codes()[int(code)])
        media = all_of_them[code]["content"]["application/json"]
        media.setdefault("examples", {})[about.replace(" ", "_")] = {"value": value}
    return {"operationId": name, "tags": [tag], "summary": summary, **more, "responses": all_of_them}


def _companion_parameters() -> list[dict[str, Any]]:
    """The fields of UploadRequest that a query may have, and Uppy's metadata."""
    _, schemas = msgspec.json.schema_components([requests.UploadRequest], ref_template=SCHEMAS + "{name}")
    fields = schemas[requests.UploadRequest.__name__]["properties"]
    kinds = {"filename": fields["filename"], "type": fields["content_type"]}
    kinds |= {name: fields[name] for name in fields if name in companion.FIELDS}
    parameters = []
    for name, schema in kinds.items():
        [known] = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
        said = {**schema, **known}
        about = said.get("description", "As in Specs").replace("``", "`")
        kind = {key: said[key] for key in said if key not in ("anyOf", "default", "description")}
        if "enum" in kind:
            kind["enum"] = [value for value in kind["enum"] if value is not None]
        required = name in ("filename", "type")
        parameters.append(_parameter(name, "query", kind, about, required=required))
    metadata = {"type": "object", "additionalProperties": {"type": "string"}}
    about = "The page's `meta` of the file: the same fields, and `custom` of all others"
    return [*parameters, _parameter("metadata", "query", metadata, about) | {"style": "deepObject"}]


def _parameter(
    name: str, place: str, schema: dict[str, Any], description: str, *, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "description": description,
        "schema": schema,
    }


def _body(*, json: str, form: str = "") -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": SCHEMAS + json}}}
    if form:
        content["multipart/form-data"] = {"schema": {"$ref": SCHEMAS + form}}
    return {"required": True, "content": content}


def _ok(
    description: str, schema: str | list[str] | dict[str, Any], *, headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    if isinstance(schema, list):
        schema = {"oneOf": [{"$ref": SCHEMAS + name} for name in schema]}
    elif isinstance(schema, str):
        schema = {"$ref": SCHEMAS + schema}
    content = {"application/json": {"schema": schema}}
    return {"description": description, "headers": _request_id() | (headers or {}), "content": content}


def _link(operation: str) -> dict[str, Any]:
    return {"operationId": operation, "parameters": {"video_id": "$response.body#/id"}}


def _request_id() -> dict[str, Any]:
    return {api.REQUEST_ID: {"$ref": "#/components/headers/RequestId"}}


# ── Errors ───────────────────────────────────────────────────────────────────────


def _codes() -> dict[int, list[tuple[str, str, str]]]:
    """Code, when it comes and what the app does, by status; as in the table of docs/api.md."""
    found: dict[int, list[tuple[str, str, str]]] = {}
    for error, status in api.STATUS_OF.items():
        when, what_to_do = (inspect.getdoc(error) or "").replace("``", "`").split("\n\n")
        found.setdefault(int(status), []).append((error.code, when, what_to_do))
    for row in OTHERS:
        if row.status != 200:
            found.setdefault(row.status, []).append((row.code, row.when, row.what_to_do))
    return dict(sorted(found.items()))


def _name(status: int) -> str:
    return f"Error{status}"


def _error_response(status: int, codes: list[tuple[str, str, str]]) -> dict[str, Any]:
    lines = [f"- `{code}`: {when} {what_to_do}" for code, when, what_to_do in codes]
    headers = _request_id()
    if status in (429, 503, 507):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return {
        "description": "\n".join(lines),
        "headers": headers,
        "content": {"application/json": {"schema": {"$ref": SCHEMAS + _name(status)}}},
    }


def _error_schema(codes: list[tuple[str, str, str]]) -> dict[str, Any]:
    code = {"type": "string", "enum": [code for code, _, _ in codes]}
    return {"allOf": [{"$ref": SCHEMAS + "ErrorAnswer"}, {"type": "object", "properties": {"code": code}}]}


# ── Schemas ──────────────────────────────────────────────────────────────────────


def _schemas() -> dict[str, Any]:
    _, asked = msgspec.json.schema_components(REQUESTS, ref_template=SCHEMAS + "{name}")
    _, told = msgspec.json.schema_components(ANSWERS, ref_template=SCHEMAS + "{name}")
    for schema in told.values():
        _always_there(schema)
    for kind in (errors.Violation, SuggestionsFor, Fix):  # whole dataclasses, in which nothing is UNSET
        told[kind.__name__]["required"] = list(told[kind.__name__]["properties"])
    for schema in asked.values():
        _without_defaults(schema)
    # Not by anyOf, of which generators make a union.
    asked["UploadRequest"] |= {"if": {"not": {"required": ["fileSize"]}}, "then": {"required": ["size"]}}
    failed = {_name(status): _error_schema(codes) for status, codes in _codes().items()}
    schemas = {**asked, **told, **failed}
    schemas["Status"] = {
        "title": "Status",
        "description": "The state of a video: one schema for each.",
        "oneOf": [{"$ref": SCHEMAS + kind.__name__} for kind in STATES],
        "discriminator": {
            "propertyName": "state",
            "mapping": {state: SCHEMAS + kind.__name__ for state, kind in answers.STATUS_IN.items()},
        },
    }
    schemas["Event"] = openapi_events.event_schema()
    for schema in schemas.values():
        _tidy(schema)
    return dict(sorted(schemas.items()))


def _always_there(schema: dict[str, Any]) -> None:
    """An answer has every field, even one with a default; only what may be UNSET is left out of some."""
    if "properties" not in schema:
        return
    defaults = [name for name, field in schema["properties"].items() if "default" in field]
    for name in defaults:
        del schema["properties"][name]["default"]
    required = {*schema.get("required", ()), *defaults}
    schema["required"] = [name for name in schema["properties"] if name in required]


def _without_defaults(schema: dict[str, Any]) -> None:
    """A default in words: where there is one, generators of clients require the field."""
    for field in schema.get("properties", {}).values():  # an enumeration has none
        default = field.pop("default", None)
        if default is not None:
            field["description"] = f"{field['description']}; {json.dumps(default)} if left out"


def _tidy(schema: dict[str, Any]) -> None:
    """Docstrings as Markdown, one way to say null, and one value as a constant."""
    for part in _parts(schema):
        if isinstance(part.get("description"), str):
            part["description"] = inspect.cleandoc(part["description"]).replace("``", "`")
        kinds = [one.get("type") for one in part.get("anyOf", ()) if set(one) == {"type"}]
        if len(kinds) == len(part.get("anyOf", ())) == 2:
            del part["anyOf"]
            part["type"] = kinds
        if part.get("type") == "object" and not {"properties", "additionalProperties"} & set(part):
            part["additionalProperties"] = True  # which openapi-typescript does not take for granted
        if isinstance(part.get("enum"), list):
            part.setdefault("type", "string")
            if len(part["enum"]) == 1:
                part["const"] = part.pop("enum")[0]


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and everything in it that is one."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _parts(value)


# ── Files ────────────────────────────────────────────────────────────────────────


def files() -> dict[Path, Callable[[], str]]:
    """What each file must hold."""
    return {
        WEB / "openapi.json": lambda: json.dumps(document(), indent=1, ensure_ascii=False) + "\n",
        WEB / "docs.html": lambda: page(document()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    parser.add_argument("--record", action="store_true", help="record the examples anew, from the handlers")
    options = parser.parse_args()
    if options.record:
        recorded = json.dumps(openapi_examples.record(), indent=1, ensure_ascii=False)
        openapi_examples.KEPT.write_text(recorded + "\n")
    for path, text in files().items():
        if options.check and (not path.exists() or path.read_text() != text()):
            print(f"{path.name} is out of date: make openapi", file=sys.stderr)
            return 1
        if not options.check:
            path.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
