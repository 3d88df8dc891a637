"""The events in the document: as webhooks, and as the stream of the local server."""

import inspect
from typing import Any

import msgspec

from videos.telling import events

SCHEMAS = "#/components/schemas/"
KINDS = {str(kind.__struct_config__.tag): kind for kind in events.TYPES}
TAG = {"name": "events", "description": "What happens to videos: webhooks, and a stream on the local server."}
HEADERS = {
    "webhook-id": "The id of the event: the same when it is sent again",
    "webhook-timestamp": "When it was sent, in seconds since 1970; part of what is signed",
    "webhook-signature": "`v1,` and an HMAC-SHA256 in base64; two, while secrets are rotated",
}
STREAM = """\
On the local server alone: AWS answers 404. Each event is a message whose `data` is an `Event`. Its `id` is \
its position, from which `Last-Event-ID` goes on. `reset` is told if that position is not kept any more: \
what came after it may be missing. `progress` (`id`, `state`, `progress`, `time_left_ms`) has no position. A \
stream ends after a quarter of an hour.
"""


def webhooks(examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a receiver is sent, by type."""
    return {name: {"post": _call(name, kind, examples)} for name, kind in KINDS.items()}


def _call(name: str, kind: type[msgspec.Struct], examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    operation = kind.__name__[0].lower() + kind.__name__[1:]
    media: dict[str, Any] = {"schema": {"$ref": SCHEMAS + kind.__name__}}
    if example := examples.get(operation, {}).get("request"):
        media["example"] = example
    return {
        "operationId": operation,
        "tags": [TAG["name"]],
        "summary": inspect.getdoc(kind),
        "security": [],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": True,
                "description": about,
                "schema": {"type": "string"},
            }
            for header, about in HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": media}},
        "responses": {
            "2XX": {"description": "It was taken. Answer soon, and work on it afterwards."},
            "410": {"description": "It is never sent again."},
            "default": {
                "description": f"`{name}` is sent again later. With 429 and 503, `Retry-After` counts."
            },
        },
    }


def stream() -> dict[str, Any]:
    """The answer that goes on."""
    content = {"text/event-stream": {"schema": {"type": "string"}}}
    return {"description": "Messages as they come", "content": content}


def event_schema() -> dict[str, Any]:
    """Any event, told apart by its type."""
    return {
        "title": "Event",
        "description": "What happened to a video: one schema for each type.",
        "oneOf": [{"$ref": SCHEMAS + kind.__name__} for kind in KINDS.values()],
        "discriminator": {
            "propertyName": "type",
            "mapping": {name: SCHEMAS + kind.__name__ for name, kind in KINDS.items()},
        },
    }
