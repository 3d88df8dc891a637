"""Whom the local server answers: by the Host of a request, and by the Origin of what changes something."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route

from dev.server import Server
from local_aws.cors import Cors
from local_aws.guard import Guard
from support.sockets import Answer, connected, read, request

OURS = "https://app.example"
UNSAFE = ("POST", "PUT", "DELETE", "PATCH")


def answer(
    method: str, path: str = "/upload", *, hosts=("laptop.local",), origins=(OURS,), **headers: str
) -> httpx.Response:
    """Of a server that answers anything, behind the guard."""

    async def endpoint(_) -> Response:
        return Response("reached")

    app = Starlette(
        routes=[Route("/{path:path}", endpoint, methods=["GET", *UNSAFE])],
        middleware=[
            Middleware(Guard, allowed_hosts=hosts, allowed_origins=origins),
            Middleware(Cors, allowed_origins=origins),
        ],
    )

    async def ask() -> httpx.Response:
        told = {"Host": "localhost:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.request(method, path, headers=told)

    return asyncio.run(ask())


# ── Host ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:8000", "192.168.1.7", "10.0.2.2:80", "[::1]:8000",
     "[fe80::1]", "laptop.local", "Laptop.Local:8000"],
)  # fmt: skip
def test_these_hosts_are_answered(host):
    assert answer("GET", Host=host).text == "reached"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.",
     "", "1.2.3", "[::1",
     "[evil.example]", "localhost@evil.example", "localhost:evil", "x.laptop.local", "*"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "OPTIONS", *UNSAFE])
def test_every_other_host_is_not(host, method):
    asking = {"Origin": OURS, "Access_Control_Request_Method": "POST"}

    refused = answer(method, Host=host, **asking)

    assert (refused.status_code, refused.json()["code"]) == (421, "host_not_allowed")
    assert "ALLOWED_HOSTS" in refused.json()["suggestions"][1]


def test_any_host_may_be_allowed():
    assert answer("GET", Host="anything.example", hosts=("*",)).text == "reached"


def test_a_page_that_is_allowed_may_read_that_its_host_is_not():
    refused = answer("GET", Host="evil.example", Origin=OURS)

    assert refused.headers["Access-Control-Allow-Origin"] == OURS


# ── Origin ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "", f"{OURS}.evil.example", "http://app.example"]
)
def test_no_other_page_changes_anything(method, origin):
    refused = answer(method, Origin=origin)

    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "ALLOWED_ORIGINS" in refused.json()["suggestions"][0]
    assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize("method", UNSAFE)
def test_apps_and_allowed_pages_and_our_own_change_what_they_like(method):
    assert answer(method).text == "reached"  # curl and apps send no Origin
    assert answer(method, Origin=OURS).text == "reached"
    assert answer(method, Origin="http://localhost:8000").text == "reached"
    assert answer(method, Host="192.168.1.7:8000", Origin="http://192.168.1.7:8000").text == "reached"
    assert answer(method, Origin="https://evil.example", origins=("*",)).text == "reached"


def test_any_page_may_ask_for_what_changes_nothing():
    asked = answer("GET", Origin="https://evil.example")

    assert asked.text == "reached"
    assert "Access-Control-Allow-Origin" not in asked.headers  # and not read it


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},  # <img src="http://localhost:8000/s3/params?…">: no Origin
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_no_other_site_asks_for_a_ticket_though_that_is_a_get(headers):
    refused = answer("GET", "/s3/params", **headers)

    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": OURS}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}]
)
def test_apps_and_allowed_pages_and_whoever_types_the_address_ask_for_a_ticket(headers):
    assert answer("GET", "/s3/params", **headers).text == "reached"
    assert answer("HEAD", "/s3/params", Sec_Fetch_Site="cross-site").is_success  # which registers nothing


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("http://localhost:x", False),
        ("http://localhost.evil.example:3000", False),
        ("http://xlocalhost:3000", False),
        ("https://localhost:3000", False),
    ],
)
def test_an_origin_with_a_star_is_on_any_port(origin, allowed):
    asked = answer("POST", Host="127.0.0.1:8000", Origin=origin, origins=("http://localhost:*",))

    assert (asked.status_code == 200) == allowed
    assert (asked.headers.get("Access-Control-Allow-Origin") == origin) == allowed


# ── The server as `make run` starts it ───────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as env:
        env.delenv("ALLOWED_ORIGINS", raising=False)
        env.setenv("ALLOWED_HOSTS", "laptop.local, other.local")
        with Server(
            tmp_path_factory.mktemp("guard"), options=("--public-url", "https://public.example/x")
        ) as running:
            yield running


def say(server: Server, sent: bytes) -> Answer:
    with connected(server) as sock:
        sock.sendall(sent)
        return Answer(read(sock))


TICKET = json.dumps({"filename": "a.mp4", "content_type": "video/mp4", "size": 1}).encode()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "public.example", "other.local:8000"])
def test_the_server_answers_its_hosts(server, host):
    assert say(server, request("GET /health", Host=host)).status in (200, 503)


@pytest.mark.parametrize("path", ["/health", "/storage/a", "/nothing"])
def test_the_server_answers_no_other_host(server, path):
    refused = say(server, request(f"GET {path}", Host="rebound.example"))

    assert (refused.status, refused.code) == (421, "host_not_allowed")
    assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("line", ["POST /upload", "POST /storage/", "PUT /storage/a", "DELETE /videos/a"])
def test_the_server_lets_no_other_page_change_anything(server, line):
    refused = say(server, request(line, TICKET, Origin="https://evil.example"))

    assert (refused.status, refused.code) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    "origin", ["http://localhost:5173", "http://127.0.0.1:8081", "https://localhost", ""]
)
def test_pages_on_this_machine_upload_by_default_and_apps_do(server, origin):
    issued = say(server, request("POST /upload", TICKET, Origin=origin, Content_Type="application/json"))

    assert issued.status == 201
    assert issued.headers.get("access-control-allow-origin", "") == origin


def test_a_page_from_elsewhere_reads_nothing_by_default(server):
    asked = say(server, request("GET /health", Origin="https://evil.example"))

    assert "access-control-allow-origin" not in asked.headers


def test_allowed_origins_win_over_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOWED_ORIGINS", OURS)
    with Server(tmp_path / "data") as server:
        local = say(server, request("POST /upload", TICKET, Origin="http://localhost:5173"))
        ours = say(server, request("POST /upload", TICKET, Origin=OURS))

    assert (local.status, ours.status) == (403, 201)
