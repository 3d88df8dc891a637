"""An OpenAPI document as one page: no script, nothing fetched, readable without either."""

import json
import re
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
code, pre { font: 0.875rem/1.45 ui-monospace, monospace; }
pre { border: 1px solid var(--line); max-height: 24rem; overflow: auto; padding: 0.75rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border-bottom: 1px solid var(--line); padding: 0.25rem 0.75rem 0.25rem 0; }
td, th { text-align: left; vertical-align: top; }
summary { cursor: pointer; }
.method { border: 1px solid; border-radius: 4px; font-size: 0.8rem; padding: 0 0.4rem; }
nav ul { columns: 20rem 2; list-style: none; padding: 0; }
nav, h3, td { overflow-wrap: anywhere; }
td.place { overflow-wrap: normal; }
h2 code, h3 code { font-size: 1.1rem; }
"""
METHODS = ("get", "post", "put", "delete")


def page(document: dict[str, Any]) -> str:
    """The whole page, as HTML."""
    info = document["info"]
    operations = [
        (method, path, item, item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]
    webhooks = [("post", name, item, item["post"]) for name, item in document.get("webhooks", {}).items()]
    schemas = document["components"]["schemas"]
    links = "".join(
        f'<li><a href="#{operation["operationId"]}"><code>{method.upper()} {escape(path)}</code></a></li>'
        for method, path, _, operation in [*operations, *webhooks]
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head>",
            "<body>",
            f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
            _text(info["description"]),
            '<p>For programs: <a href="openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
            f"<nav><h2>Operations</h2><ul>{links}</ul></nav>",
            "<main>",
            *(_operation(document, *one) for one in operations),
            "<h2>Webhooks</h2>",
            *(_operation(document, *one) for one in webhooks),
            "<h2>Schemas</h2>",
            *(_schema(name, schema) for name, schema in schemas.items()),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _operation(
    document: dict[str, Any], method: str, path: str, item: dict[str, Any], operation: dict[str, Any]
) -> str:
    parts = [
        f'<section id="{operation["operationId"]}">',
        f'<h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>',
        f"<p>{_inline(operation['summary'])} (<code>{operation['operationId']}</code>)</p>",
        *([_text(operation["description"])] if "description" in operation else []),
    ]
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    if parameters:
        rows = [
            f"<tr><td><code>{escape(one['name'])}</code>{'' if one['required'] else '?'}</td>"
            f'<td class="place">{one["in"]}</td>'
            f"<td>{_kind(one['schema'])}</td><td>{_inline(one['description'])}</td></tr>"
            for one in parameters
        ]
        parts.append(
            f"<table><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr>{''.join(rows)}</table>"
        )
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, <code>{kind}</code>: {_kind(media['schema'])}</p>")
        if "example" in media:
            parts.append(_example("Example of a request", media["example"]))
    for status, response in operation["responses"].items():
        parts.append(_response(document, status, response))
    return "\n".join([*parts, "</section>"])


def _response(document: dict[str, Any], status: str, response: dict[str, Any]) -> str:
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    parts = [f"<h4>{status}</h4>", _text(response["description"])]
    for kind, media in response.get("content", {}).items():
        parts.append(f"<p><code>{escape(kind)}</code>: {_kind(media['schema'])}</p>")
        for name, example in media.get("examples", {}).items():
            parts.append(_example(f"Example: {name.replace('_', ' ')}", example["value"]))
    return "\n".join(parts)


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{escape(field)}</code>{'' if field in schema.get('required', ()) else '?'}</td>"
        f"<td>{_kind(kind)}</td><td>{_inline(kind.get('description', ''))}</td></tr>"
        for field, kind in schema.get("properties", {}).items()
    ]
    table = f"<table><tr><th>field</th><th>type</th><th></th></tr>{''.join(rows)}</table>" if rows else ""
    kind = "" if rows else f"<p>{_kind(schema)}</p>"
    about = _text(schema.get("description", ""))
    return f'<section id="schema-{name}"><h3>{name}</h3>\n{about}{table}{kind}</section>'


def _kind(schema: dict[str, Any]) -> str:
    """What a schema is, in a few words, with links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{name}">{name}</a>'
    for several in ("oneOf", "anyOf"):
        if several in schema and "properties" not in schema:
            return " or ".join(map(_kind, schema[several]))
    if "allOf" in schema:
        first, *_ = schema["allOf"]
        return _kind(first)
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " · ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    kinds = schema.get("type", "anything")
    if kinds == "array":
        return f"list of {_kind(schema['items'])}"
    return escape(" or ".join([kinds] if isinstance(kinds, str) else kinds))


def _example(title: str, value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _text(markdown: str) -> str:
    """Paragraphs, and lists whose every line is an item."""
    blocks = []
    for block in filter(None, markdown.strip().split("\n\n")):
        lines = block.splitlines()
        if all(line.startswith("- ") for line in lines):
            blocks.append("<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>")
        else:
            blocks.append(f"<p>{_inline(block)}</p>")
    return "\n".join(blocks)


def _inline(markdown: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown, quote=False))
