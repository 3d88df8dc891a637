"""What the local server answers at ``/``: the page of clients/web, under a strict policy."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dev.server import Server
from local_aws import page
from local_aws.addresses import Addresses
from videos.checking.rules import SPEC

PROJECT = Path(__file__).parent.parent
WEB = PROJECT / "clients" / "web"


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    directives = answer.headers["Content-Security-Policy"].split("; ")
    return {name: hosts for name, *hosts in map(str.split, directives)}


def test_the_address_of_the_server_shows_the_page(server):
    answer = httpx.get(server.url)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<title>TikToken</title>" in answer.text


def test_the_server_says_the_address_of_the_page_first(server):
    assert server.log.read_text().splitlines()[0] == f"Open {server.url} in a browser: the page of TikToken."


def test_every_file_that_the_page_names_is_served_with_its_type(server):
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    sources = [path.read_text() for path in WEB.iterdir() if path.suffix in (".html", ".js")]
    named = {name for text in sources for name in re.findall(r'"(?:\./)?([\w.]+\.(?:js|css|svg))"', text)}

    assert {"app.js", "tiktoken.js", "style.css", "icon.svg"} <= named
    for name in named:
        answer = httpx.get(f"{server.url}/{name}")
        assert (answer.status_code, answer.headers["Content-Type"]) == (
            200,
            types[name.rpartition(".")[2]],
        ), name


def test_the_client_is_beside_the_page(server):
    client = (PROJECT / "clients" / "javascript" / "tiktoken.js").read_text()

    assert httpx.get(f"{server.url}/tiktoken.js").text == client


def test_only_our_own_scripts_run_and_nothing_is_asked_elsewhere(server):
    allowed = policy(httpx.get(server.url))

    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == ["'none'"]
    assert allowed["frame-ancestors"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == ["'self'"]
    assert allowed["connect-src"] == ["'self'", server.url]
    assert allowed["img-src"] == ["'self'", server.url, "blob:", "data:"]
    assert allowed["media-src"] == ["'self'", server.url, "blob:"]


def test_another_api_may_be_asked_if_the_address_names_one(server):
    allowed = policy(httpx.get(server.url, params={"api": "https://api.example; script-src *"}))

    assert allowed["connect-src"] == [
        "'self'",
        server.url,
        "https:",
        "http://localhost:*",
        "http://127.0.0.1:*",
    ]
    assert allowed["script-src"] == ["'self'"]


def test_the_page_is_nobodys_to_sniff_frame_or_keep(server):
    headers = httpx.get(server.url).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"


def test_the_page_is_hidden_from_other_hosts(server):
    assert httpx.get(server.url, headers={"Host": "evil.example"}).json()["code"] == "host_not_allowed"


def test_the_page_is_read_only(server):
    assert httpx.head(server.url).status_code == 200
    assert httpx.post(server.url).json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/nowhere", "/web/app.js", "/..%2fjavascript/package.json", "/package.json"]
)
def test_nothing_else_is_served(server, path):
    answer = httpx.get(server.url + path)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


def test_without_the_checkout_there_is_no_page(tmp_path):
    assert page.routes(Addresses(), tmp_path / "missing") == []


def test_the_page_states_the_limits_of_the_service():
    stated = (WEB / "details.js").read_text()

    assert f'"{SPEC.width_px} × {SPEC.height_px}"' in stated
    assert f'"{SPEC.max_duration_s:g} s"' in stated
    assert f"{SPEC.min_frame_rate} to {SPEC.max_frame_rate:g}, steady" in stated
    assert f"{SPEC.max_bytes:,} bytes" in stated


def test_the_page_has_no_inline_script_or_style():
    text = (WEB / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text) == []


@pytest.mark.parametrize("module", sorted(path.name for path in WEB.glob("*.js")))
def test_every_module_is_valid_javascript(module):
    node = shutil.which("node")
    if not node:
        pytest.skip("needs node")

    checked = subprocess.run(
        [node, "--input-type=module", "--check"], input=(WEB / module).read_text(), text=True, check=False
    )

    assert checked.returncode == 0
