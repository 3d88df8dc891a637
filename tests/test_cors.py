"""Which web pages may read what: of the API, of an upload, of a file that plays."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from local_aws.cors import FILE_HEADERS, UPLOAD_HEADERS, Cors
from support.template import RESOURCES

OURS, OTHER, REDIRECTED = "https://app.example", "https://other.example", "null"
STATUS, FILE = "/videos/a/status", "/storage/outputs/a/720p.mp4"


def answer(method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """Of a server that answers anything, behind the rules for one origin."""

    async def endpoint(_) -> Response:
        return Response()

    routes = [Route("/{path:path}", endpoint, methods=["GET", "POST", "PUT"])]
    app = Starlette(routes=routes, middleware=[Middleware(Cors, allowed_origins=[OURS])])

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(ask())


def may_read(origin: str, method: str, path: str) -> bool:
    """Whether a browser lets a page of ``origin`` read the answer."""
    headers = answer(method, path, {"Origin": origin}).headers
    return headers.get("Access-Control-Allow-Origin") in ("*", origin)


def may_ask(origin: str, method: str, path: str) -> bool:
    """Whether a browser that asks first is allowed to send such a request, with headers of its own."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "range,content-type"}
    told = answer("OPTIONS", path, {"Origin": origin, **asked})
    return told.is_success and told.headers.get("Access-Control-Allow-Origin") in ("*", origin)


@pytest.mark.parametrize("may", [may_read, may_ask])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", STATUS), ("POST", "/upload"), ("POST", "/storage/"), ("PUT", "/storage/a")]
)
def test_only_our_pages_ask_and_send(may, method, path):
    assert may(OURS, method, path)
    assert not may(OTHER, method, path)


@pytest.mark.parametrize("may", [may_read, may_ask])
@pytest.mark.parametrize("origin", [OURS, OTHER, REDIRECTED])
def test_any_page_plays_what_it_has_a_signed_url_of(may, origin):
    assert may(origin, "GET", FILE)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_page_may_read_where_its_upload_went(method):
    headers = answer(method, "/storage/", {"Origin": OURS}).headers

    assert set(headers["Access-Control-Expose-Headers"].split(", ")) == {"ETag", "Location"}


def test_a_page_may_read_which_part_of_a_file_it_was_given():
    headers = answer("GET", FILE, {"Origin": OTHER}).headers

    assert {"Content-Range", "Accept-Ranges"} <= set(headers["Access-Control-Expose-Headers"].split(", "))


def test_the_rules_of_the_bucket_are_those_of_the_local_server():
    sending, playing = RESOURCES["MediaBucket"]["Properties"]["CorsConfiguration"]["CorsRules"]

    assert (sending["AllowedMethods"], sending["AllowedOrigins"]) == (
        ["POST", "PUT"],
        {"Ref": "AllowedOrigins"},
    )
    assert (playing["AllowedMethods"], playing["AllowedOrigins"]) == (["GET", "HEAD"], ["*"])
    assert (sending["ExposedHeaders"], playing["ExposedHeaders"]) == (
        UPLOAD_HEADERS,
        FILE_HEADERS,
    )
