"""Holds answers against openapi.json: the statuses and types that it names, every field, and no others."""

import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from jsonschema import Draft202012Validator

from videos.web import answers

WEB = Path(answers.__file__).parent
DOCUMENT = json.loads((WEB / "openapi.json").read_text())


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document, of a service that sends what it names and nothing else."""
    document = deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return document


STRICT = strict(DOCUMENT)


def operation(method: str, path: str) -> dict[str, Any] | None:
    """What a request asks for, if the document has it; of two paths, the one with fewer parameters."""
    for template in sorted(STRICT["paths"], key=lambda template: template.count("{")):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path):
            found: dict[str, Any] | None = STRICT["paths"][template].get(method.lower())
            return found
    return None


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = STRICT
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


@cache
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": STRICT["components"]})


def objections(schema: dict[str, Any], value: Any) -> list[str]:
    """What of a value is not as its schema says."""
    return [error.message[:500] for error in validator(json.dumps(schema)).iter_errors(value)]


def hold(method: str, path: str, status: int, content_type: str, body: str) -> None:
    """Raise AssertionError if the document names the operation, but not such an answer to it."""
    asked = operation(method, path)
    if asked is None or (method, status) == ("HEAD", 200):
        return
    about = f"{method} {path} {status}"
    assert str(status) in asked["responses"], f"{about}: the document has no such status"
    content = resolved(asked["responses"][str(status)]).get("content", {})
    if not content:
        assert body == "", f"{about}: the document has no body"
        return
    kind = content_type.partition(";")[0]
    assert kind in content, f"{about}: {kind} is not in {list(content)}"
    if kind == "application/json":
        assert objections(content[kind]["schema"], json.loads(body)) == [], about


def hold_response(response: httpx.Response, base_url: str) -> None:
    """The same, as a hook of an httpx client."""
    response.read()
    path = response.request.url.path.removeprefix(urlsplit(base_url).path.rstrip("/"))
    assert response.headers.get("X-Request-Id"), path
    kind = response.headers.get("Content-Type", "")
    hold(response.request.method, path, response.status_code, kind, response.text)
