"""openapi.json and docs.html say what the service does: they are made of its types, and held against it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import validate

from dev import openapi, openapi_examples
from local_aws import gateway
from support import wire
from support.samples import NOON, a_full_video, a_video
from support.template import FUNCTIONS
from videos import wiring
from videos.model import State
from videos.ports import Change
from videos.telling.events import events_of

OPERATIONS = {
    (method.upper(), path): operation
    for path, item in wire.DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
WEBHOOKS = {name: item["post"] for name, item in wire.DOCUMENT["webhooks"].items()}
LOCAL_ONLY = ("GET", "/events")

ROUTES = {
    (event["Properties"]["Method"], event["Properties"]["Path"])
    for function in FUNCTIONS.values()
    for event in function["Events"].values()
    if event["Type"] == "Api"
}


CUSTOM = {"external_id": "draft-7", "custom": '{"post": 7}', "owner": "ab12"}
CHANGES = [
    Change(before=a_video(version=1, **CUSTOM), after=after, at=NOON)
    for after in (
        a_video(version=2, state=State.COMPLETED, playable_at=NOON, **CUSTOM),  # two events
        replace(a_full_video(), version=2, state=State.REJECTED),
        a_video(version=2, state=State.FAILED),
        a_video(version=2, state=State.EXPIRED),
        None,
    )
]


# ── The files ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "text"), openapi.files().items(), ids=lambda value: getattr(value, "name", "")
)
def test_the_file_is_what_make_openapi_writes(path, text):
    assert path.read_text() == text(), "make openapi"


def test_the_document_is_valid_openapi():
    validate(wire.DOCUMENT)
    assert wire.DOCUMENT["openapi"].startswith("3.1.")


def test_every_operation_of_the_document_is_a_route_and_every_route_an_operation():
    deployed = set(OPERATIONS) - {LOCAL_ONLY}
    assert deployed == set(gateway.ROUTES)
    assert deployed == {route for route in ROUTES if route[0] not in ("HEAD", "OPTIONS", "ANY")}
    heads = {path for method, path in ROUTES if method == "HEAD"}
    assert heads == {path for method, path in deployed if method == "GET"}  # as the description says


def test_what_the_local_server_alone_answers_is_marked_so():
    marked = {route for route, operation in OPERATIONS.items() if operation.get("x-local-only")}

    assert marked == {LOCAL_ONLY}
    assert "AWS answers 404" in OPERATIONS[LOCAL_ONLY]["description"]


def test_every_type_of_event_is_a_webhook_of_its_own():
    types = {"video.playable", "video.completed", "video.rejected", "video.failed", "video.expired"}

    assert set(WEBHOOKS) == {*types, "video.deleted"}
    for name, operation in WEBHOOKS.items():
        [schema] = [media["schema"] for media in operation["requestBody"]["content"].values()]
        properties = wire.resolved(schema)["properties"]
        assert properties["type"] == {"const": name, "type": "string"}
        assert {"type", "id", "timestamp", "data"} == set(wire.resolved(schema)["required"])
    mapping = wire.DOCUMENT["components"]["schemas"]["Event"]["discriminator"]["mapping"]
    assert set(mapping) == set(WEBHOOKS)


def test_every_event_is_as_the_document_says():
    told = [event for change in CHANGES for event in events_of(change, "https://api.example")]

    assert {event.type for event in told} == set(WEBHOOKS)
    for event in told:
        schema = {"$ref": "#/components/schemas/Event"}
        assert wire.objections(schema, json.loads(event.body)) == [], event.type
    body = json.loads(told[0].body)
    for broken in ({**body, "type": "video.lost"}, {**body, "secret": 1}, {**body, "data": {}}):
        assert wire.objections(schema, broken)


def test_every_operation_has_an_id_of_its_own_and_a_summary():
    operations = [*OPERATIONS.values(), *WEBHOOKS.values()]
    ids = [operation["operationId"] for operation in operations]

    assert len(set(ids)) == len(ids) == len(operations)
    assert all(operation["summary"] for operation in operations)


def test_every_error_code_is_in_the_document_with_its_status():
    table = (openapi.WEB.parents[2] / "docs" / "api.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (\d{3}) \| ", table, re.MULTILINE)
    in_a_status = {"processing_failed", "upload_expired"}
    told = {
        (code, name.removeprefix("Error"))
        for name, response in wire.DOCUMENT["components"]["responses"].items()
        for code in codes_of(response)
    }

    assert len(documented) > 25
    assert {(code, status) for code, status in documented if code not in in_a_status} == told


def codes_of(response: dict) -> list[str]:
    _, named = wire.resolved(response["content"]["application/json"]["schema"])["allOf"]
    code = named["properties"]["code"]
    return code.get("enum") or [code["const"]]


def test_there_is_one_status_for_each_state_told_apart_by_it():
    status = wire.DOCUMENT["components"]["schemas"]["Status"]

    assert status["discriminator"]["propertyName"] == "state"
    assert set(status["discriminator"]["mapping"]) == set(State)
    assert sorted(status["discriminator"]["mapping"].values()) == sorted(
        one["$ref"] for one in status["oneOf"]
    )
    for state, schema in status["discriminator"]["mapping"].items():
        assert wire.resolved({"$ref": schema})["properties"]["state"]["const"] == state


# ── The examples ─────────────────────────────────────────────────────────────────


def examples(recorded: openapi_examples.Examples) -> list[tuple[str, str, object]]:
    return [
        (name, about, value) for name, all_of_it in recorded.items() for about, value in all_of_it.items()
    ]


def schema_of(name: str, about: str) -> dict:
    operations = [*OPERATIONS.values(), *WEBHOOKS.values()]
    [operation] = [one for one in operations if one["operationId"] == name]
    part = operation["requestBody"] if about == "request" else operation["responses"][about.partition(" ")[0]]
    return wire.resolved(part)["content"]["application/json"]["schema"]


@pytest.mark.parametrize(("name", "about", "value"), examples(openapi_examples.kept()))
def test_every_example_is_as_the_document_says(name, about, value):
    assert wire.objections(schema_of(name, about), value) == []


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.thorough
def test_the_examples_are_what_the_handlers_answer_today():
    """But for ids, times, sizes and signatures."""
    recorded = openapi_examples.record()
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()

    now, kept = (
        {(name, about): value for name, about, value in examples(one)}
        for one in (recorded, openapi_examples.kept())
    )

    assert {about: shape(value) for about, value in now.items()} == {
        about: shape(value) for about, value in kept.items()
    }, "PYTHONPATH=functions python -m dev.openapi --record"


# ── As they are served ───────────────────────────────────────────────────────────


def test_the_documents_are_served_as_they_are(call):
    status, document, headers = call("GET", "/openapi.json")
    assert (status, document, headers["Content-Type"]) == (200, wire.DOCUMENT, "application/json")

    status, html, headers = call("GET", "/docs")
    assert (status, html) == (200, (openapi.WEB / "docs.html").read_text())
    assert headers["Content-Type"] == "text/html; charset=utf-8"


class Page(HTMLParser):
    """Everything in a page that could fetch or run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.ids |= {value for name, value in attrs if name == "id"}


def test_the_page_fetches_nothing_runs_nothing_and_its_links_lead_somewhere(call):
    _, html, headers = call("GET", "/docs")
    page = Page(html)

    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert "url(" not in html
    assert "@import" not in html
    assert {link for link in page.links if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    operations = [*OPERATIONS.values(), *WEBHOOKS.values()]
    assert {operation["operationId"] for operation in operations} <= page.ids


def test_what_is_not_in_the_document_is_noticed():
    waiting = json.dumps(openapi_examples.kept()["getStatus"]["200 awaiting_upload"])
    path = "/videos/0192d3a4-5b6c-7d8e-9f01-23456789abcd/status"

    wire.hold("GET", path, 200, "application/json", waiting)
    for status, kind, body in [
        (418, "application/json", waiting),
        (200, "text/plain", waiting),
        (200, "application/json", waiting.replace('"progress"', '"progres"')),
        (200, "application/json", waiting.replace("awaiting_upload", "rejected")),
        (404, "application/json", waiting),
    ]:
        with pytest.raises(AssertionError):
            wire.hold("GET", path, status, kind, body)
