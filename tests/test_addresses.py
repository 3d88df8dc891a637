"""By which address an answer's URLs reach the local server: the one that the client called, if it is ours."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from dev.clips import make_clip
from dev.server import Server
from local_aws.addresses import Addresses, in_network, split_authority
from support.sockets import Answer, read, request

PROJECT = Path(__file__).parent.parent
TICKET = json.dumps({"filename": "a.mp4", "content_type": "video/mp4", "size": 1}).encode()
NETWORK = in_network(socket.AF_INET)
no_network = pytest.mark.skipif(not NETWORK, reason="this machine is in no network")


def base(
    host: str, *, came_in_at: str = "127.0.0.1", public_url: str = "", names: tuple[str, ...] = ()
) -> str:
    """What the URLs begin with that a server on port 8000 answers to a request with this Host."""
    scope = {"type": "http", "server": (came_in_at, 8000), "headers": [(b"host", host.encode())]}
    return Addresses(public_url, names).base_url(scope)


@pytest.mark.parametrize(
    ("host", "came_in_at"),
    [
        ("localhost:8000", "127.0.0.1"),
        ("localhost:8000", "::1"),
        ("127.0.0.1:8000", "127.0.0.1"),
        ("127.0.0.2:8000", "127.0.0.2"),
        ("[::1]:8000", "::1"),
        ("192.168.1.5:8000", "192.168.1.5"),
        ("10.0.2.2:8000", "127.0.0.1"),  # Android's emulator
        ("10.0.3.2:8000", "127.0.0.1"),  # Genymotion
    ],
)
def test_urls_have_the_address_that_was_called(host, came_in_at):
    assert base(host, came_in_at=came_in_at) == f"http://{host}"


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "8.8.8.8:8000", "192.168.1.6:8000", "localhost.evil.example:8000", "localhost:8001",
     "localhost", "10.0.2.2:8000", "192.168.1.5:8000@evil.example", "[::1]:8000", "", "*:8000",
     "192.168.1.5:8000/"],
)  # fmt: skip
def test_any_other_host_is_not_believed(host):
    assert base(host, came_in_at="192.168.1.5", names=("*",)) == "http://192.168.1.5:8000"


def test_names_that_the_operator_calls_ours_are_believed_on_our_port():
    assert base("Laptop.Local:8000", names=("laptop.local",)) == "http://laptop.local:8000"
    assert base("laptop.local:80", names=("laptop.local",)) == "http://127.0.0.1:8000"


def test_the_public_url_is_the_base_whatever_was_called():
    assert base("localhost:8000", public_url="https://public.example/x") == "https://public.example/x"
    assert base("evil.example", public_url="https://public.example/x") == "https://public.example/x"


def test_an_address_of_one_link_loses_the_name_of_the_link():
    assert base("[fe80::1]:8000", came_in_at="fe80::1%eth0") == "http://[fe80::1]:8000"


def test_the_port_of_http_is_left_out():
    scope = {"type": "http", "server": ("192.168.1.5", 80), "headers": [(b"host", b"192.168.1.5")]}

    assert Addresses().base_url(scope) == "http://192.168.1.5"


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("LOCALHOST:8000", ("localhost", 8000)),
        ("laptop.local", ("laptop.local", 80)),
        ("[::1]:1", ("::1", 1)),
        ("[::1]", ("::1", 80)),
        ("a:b", ("", 0)),
        ("a:٣", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_an_authority_is_a_host_and_a_port(authority, parts):
    assert split_authority(authority) == parts


# ── Over a socket, on every address of this machine ──────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("everywhere"), options=("--host", "0.0.0.0")) as running:  # noqa: S104
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


def ticket(server: Server, host: str, *, at: str = "127.0.0.1", origin: str = "") -> Answer:
    """The answer to a request for a ticket that comes in at an address, with some Host."""
    with socket.create_connection((at, server.port), timeout=10) as sock:
        sock.sendall(
            request("POST /upload", TICKET, Host=host, Content_Type="application/json", Origin=origin)
        )
        return Answer(read(sock))


def bases(answer: Answer) -> set[str]:
    """What the URLs in an answer begin with, and its Location."""
    text = f"{answer.body.decode()} {answer.headers.get('location', '')}"
    return {
        "//".join([parts.scheme + ":", parts.netloc])
        for parts in map(urlsplit, re.findall(r"https?://[^\s\"]+", text))
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", pytest.param(NETWORK, marks=no_network)])
def test_a_ticket_has_the_address_that_was_called(server, host):
    at = "127.0.0.1" if host == "localhost" else host

    asked = ticket(server, f"{host}:{server.port}", at=at)

    assert asked.status == 201
    assert bases(asked) == {f"http://{host}:{server.port}"}


@no_network
def test_a_forged_host_is_in_no_url(server):
    """Neither that of a page that has rebound its name to us, nor an address that is not ours."""
    rebound = ticket(server, f"evil.example:{server.port}", at=NETWORK)
    elsewhere = ticket(server, f"8.8.8.8:{server.port}", at=NETWORK)

    assert (rebound.status, rebound.code) == (421, "host_not_allowed")
    assert (elsewhere.status, bases(elsewhere)) == (201, {f"http://{NETWORK}:{server.port}"})


@pytest.mark.thorough
@no_network
def test_neither_an_allowed_star_nor_a_forwarded_host_gets_into_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "*")
    with Server(tmp_path / "data") as server:
        asked = ticket(server, f"evil.example:{server.port}")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            told = {"Host": f"localhost:{server.port}", "Content_Type": "application/json"}
            told |= {"X_Forwarded_Host": "evil.example", "Forwarded": "host=evil.example"}
            sock.sendall(request("POST /upload", TICKET, **told))
            forwarding = Answer(read(sock))

    assert (asked.status, bases(asked)) == (201, {f"http://127.0.0.1:{server.port}"})
    assert bases(forwarding) == {f"http://localhost:{server.port}"}


@pytest.mark.thorough
@no_network
def test_a_phone_uploads_follows_and_plays_by_the_address_it_was_told(server, clip):
    """Everything that signs URLs: both tickets, the form, redirects, playlists, the page, a repeat."""
    ours = f"http://{NETWORK}:{server.port}"
    with httpx.Client(base_url=ours, trust_env=False) as phone:
        asked = {"filename": "a.mp4", "content_type": "video/mp4", "size": clip.stat().st_size}
        keyed = {"Idempotency-Key": "one"}
        first = phone.post("/upload", json=asked, headers=keyed).json()
        by_cable = httpx.post(f"{server.url}/upload", json=asked, headers=keyed).json()
        by_put = phone.post("/upload", json=asked | {"method": "PUT"}).json()["upload"]
        stored = phone.post(
            first["upload"]["url"], data=first["upload"]["fields"], files={"file": clip.read_bytes()}
        )
        put = phone.put(by_put["url"], content=clip.read_bytes(), headers=by_put["headers"])
        form = phone.post("/upload", files={"file": ("a.mp4", clip.read_bytes(), "video/mp4")})
        metadata = form.json()["links"]["metadata"]
        video = phone.get(form.json()["url"])
        while not (hls := phone.get(metadata).json()["hls"]):
            pass
        playlist = phone.get(hls.replace("master", "720p"))
        page = phone.get("/")

    assert (stored.status_code, put.status_code, form.status_code) == (204, 200, 201)
    assert stored.headers["Location"] == f"{ours}/storage/{first['upload']['fields']['key']}"
    assert by_cable["id"] == first["id"]
    assert by_cable["upload"]["url"] == f"{server.url}/storage/"  # the repeat's own address
    assert video.headers["Location"].startswith(f"{ours}/storage/outputs/")
    told = [json.dumps(first), json.dumps(by_put), form.text, metadata, hls, playlist.text]
    assert {url for text in told for url in re.findall(r"http://[^/\s\"]+", text)} == {ours}
    assert page.headers["Content-Security-Policy"].count(ours) == 3  # to ask, to show, to play


@no_network
def test_a_page_that_was_opened_by_our_address_may_upload(server):
    ours = f"{NETWORK}:{server.port}"

    assert ticket(server, ours, at=NETWORK, origin=f"http://{ours}").status == 201


# ── What it says when it starts ──────────────────────────────────────────────────


def greeting(folder: Path, *options: str) -> list[str]:
    with Server(folder, options=options) as server:
        return [line.replace(str(server.port), "PORT") for line in server.log.read_text().splitlines()[:3]]


@pytest.mark.thorough
def test_it_says_what_to_type_into_an_app_on_this_machine(tmp_path):
    page, app, listening = greeting(tmp_path / "data")

    assert page == "Open http://localhost:PORT in a browser: the page of TikToken."
    assert (
        app == "In an app, the API is http://localhost:PORT, or in an Android emulator http://10.0.2.2:PORT"
    )
    assert listening.startswith("TikToken is listening on 127.0.0.1:PORT, for this machine only (data in ")


@no_network
def test_it_says_what_to_type_into_a_phone(server):
    port = server.port
    page, app, listening = server.log.read_text().splitlines()[:3]

    assert page == f"Open http://localhost:{port} in a browser: the page of TikToken."
    assert app == f"In an app, the API is http://{NETWORK}:{port}"
    assert listening.startswith(
        f"TikToken is listening on 0.0.0.0:{port}, every address of this machine (data"
    )


@pytest.mark.thorough
def test_it_says_the_public_url_and_answers_with_it(tmp_path):
    public = ("--host", "0.0.0.0", "--public-url", "https://phones.example/x/")  # noqa: S104
    with Server(tmp_path / "data", options=public) as server:
        page, app, _ = server.log.read_text().splitlines()[:3]
        asked = ticket(server, f"localhost:{server.port}")

    assert page == "Open https://phones.example/x in a browser: the page of TikToken."
    assert app == "In an app, the API is https://phones.example/x"
    assert asked.json["upload"]["url"] == "https://phones.example/x/storage/"
    assert bases(asked) == {"https://phones.example"}


def make_run(*variables: str, **environment: str) -> str:
    """What ``make run`` says and ends with, if it cannot listen where it is asked to."""
    make = ["make", "--old-file=.venv/.run-ready", "run", f"BIN={Path(sys.executable).parent}", "PORT=0"]
    ended = subprocess.run(
        [*make, *variables],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    return ended.stderr


@pytest.mark.thorough
def test_make_run_takes_a_host_and_a_public_url(tmp_path):
    data = f"DATA={tmp_path}"

    assert "Cannot listen on 203.0.113.9:0" in make_run(data, "HOST=203.0.113.9")
    assert "a URL is such as" in make_run(data, "PUBLIC_URL=$(shell touch pwned) `touch pwned`")
    assert "a URL is such as" in make_run(data, PUBLIC_URL="phones")
    # Shells have the name of the machine in HOST, which is no wish.
    assert "Cannot keep data in /dev/null" in make_run("DATA=/dev/null", HOST="203.0.113.9")
    assert not (PROJECT / "pwned").exists()
