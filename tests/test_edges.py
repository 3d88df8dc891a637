"""What comes from those who mean no good, or whose client is broken: refused soon, cheaply, in our words.

The local server is spoken to through real sockets, byte by byte where a client library would not.
"""

import asyncio
import hmac
import json
import re
import runpy
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

import request_upload
from dev.server import Server
from local_aws import bucket, connection, gateway
from support.api import NOBODY, Context, ask
from support.processes import eventually
from support.samples import in_an_hour
from support.sockets import PATIENCE_S, Answer, connected, part, read, request
from videos import wiring
from videos.stores.local.folder import FolderStorage
from videos.stores.local.tickets import Denied, secret

FUNCTIONS = Path(__file__).parent.parent / "functions"
MAX_CONNECTIONS = 150
# The server as it is, but for its patience: nobody wants to wait that long for a test. As on macOS,
# it may open few files until it asks for more.
IMPATIENT = f"""
import os, resource, sys
os.environ["ALLOWED_HOSTS"] = "a"
resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
sys.path.insert(0, {str(FUNCTIONS)!r})
import local_server
from local_aws import bucket, connection, gateway
connection.MAX_WAIT_S.update(head=2, rest=2, reader=1)
connection.MAX_CONNECTIONS = {MAX_CONNECTIONS}
gateway.BODY_TIMEOUT_S = bucket.UPLOAD_TIMEOUT_S = 2
local_server.main()
"""
MOST_MEMORY_KB = 350 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("edges"), program=("-c", IMPATIENT)) as running:
        yield running
        status = Path(f"/proc/{running.process.pid}/status")
        if status.exists():
            [peak_kb] = re.findall(r"VmHWM:\s+(\d+)", status.read_text())
            assert int(peak_kb) < MOST_MEMORY_KB
        assert "Traceback" not in running.log.read_text(errors="replace")


def say(server: Server, *pieces: bytes, pause_s: float = 0) -> Answer:
    """Send these bytes, and read until the server hangs up."""
    with connected(server) as sock:
        try:
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause_s)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
        return Answer(read(sock))


def say_all(server: Server, sent: bytes) -> Answer:
    """Send everything before reading anything, as simple clients do: fails if the server cuts them off."""
    with connected(server) as sock:
        sock.sendall(sent)
        return Answer(b"".join(iter(lambda: sock.recv(65536), b"")))


# ── Malformed HTTP ───────────────────────────────────────────────────────────────

MALFORMED = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "rubbish": b"GET\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "letters beyond ASCII": "GET /ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a bare CR": b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\rSet-Cookie: b\r\n\r\n",
    "a NUL": b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "a space before the colon": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n",
    "two lengths": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a negative length": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    "a length in words": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: five\r\n\r\n",
    "a length without end": b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\n" % (b"9" * 50),
    "an unknown transfer": b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a broken chunk": b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a broken chunk, denied": b"PUT /storage/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-\r\n",
    "an endless line": b"GET /" + b"a" * 8_000_000,
    "an endless header": b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_000_000,
    "headers without number": b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 200_000,
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_malformed_http_is_rejected_in_the_usual_shape(server, sent):
    answer = say_all(server, sent)

    assert answer.status in (400, 501)
    assert answer.code == "bad_request"
    assert answer.headers["connection"] == "close"


# ── Too much, too slow, too many ─────────────────────────────────────────────────


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_comes(server):
    answer = say(server, request("POST /upload", Content_Length="5000000"))

    assert (answer.status, answer.code) == (413, "body_too_large")
    assert "ticket" in answer.json["suggestions"][0]


@pytest.mark.parametrize(
    ("path", "kind", "piece", "code"),
    [
        ("/upload", "application/json", b"[" * 65536, "body_too_large"),
        ("/upload", "multipart/form-data; boundary=b", b"\r\n" * 32768, "body_too_large"),
        ("/storage/", "multipart/form-data; boundary=b", b"\r\n" * 32768, "MaxPostPreDataLengthExceeded"),
        ("/storage/", "multipart/form-data; boundary=b", b"--b\r\nX: " + b"x" * 9999, "MalformedPOSTRequest"),
        (
            "/storage/",
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 1000,
            "MaxPostPreDataLengthExceeded",
        ),
    ],
)  # fmt: skip
def test_a_body_without_end_is_refused_while_it_comes(server, path, kind, piece, code):
    began = time.monotonic()
    head = request(f"POST {path}", Content_Length="", Transfer_Encoding="chunked", Content_Type=kind)

    answer = say(server, head, *[b"%x\r\n%s\r\n" % (len(piece), piece)] * 2000)

    assert answer.code == code
    assert time.monotonic() - began < PATIENCE_S


def drip(server: Server, head: bytes, drop: bytes = b"x") -> Callable[[], tuple[int, float]]:
    """Send ``head`` and then a drop now and then; the status, and how long the server bore it."""

    def run() -> tuple[int, float]:
        began, raw = time.monotonic(), b""
        with connected(server) as sock:
            sock.settimeout(0.25)
            sock.sendall(head)
            while time.monotonic() - began < PATIENCE_S:
                try:
                    piece = sock.recv(65536)
                    raw += piece
                    if not piece:
                        break
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    break
                try:
                    sock.sendall(drop)
                except (BrokenPipeError, ConnectionResetError):
                    break
        return Answer(raw[raw.rfind(b"HTTP/1.1 ") :] if raw else b"").status, time.monotonic() - began

    return run


def storage_of(server: Server) -> FolderStorage:
    """The server's own, so that tests have URLs that it has signed."""
    return FolderStorage(server.data, server.url, secret(server.data))


def put_line(server: Server) -> str:
    ticket = storage_of(server).upload_ticket(
        "uploads/slow",
        method="PUT",
        content_type="video/mp4",
        max_bytes=100,
        exact_bytes=None,
        expires_at=in_an_hour(),
    )
    return f"PUT {ticket.url.removeprefix(server.url)}"


@pytest.mark.thorough
def test_no_client_is_waited_for_without_end(server):
    form = "multipart/form-data; boundary=b"
    clients = {
        "says nothing": (drip(server, b"", b""), 408),
        "sends its head letter by letter": (drip(server, b"GET /health HTTP/1.1\r\nX: "), 408),
        "sends empty lines": (drip(server, b"", b"\r\n"), 400),
        "begins a second request": (drip(server, request("GET /videos", Connection="") + b"G"), 408),
        "sends its body letter by letter": (drip(server, request("POST /upload", Content_Length="99")), 408),
        "sends its form letter by letter": (
            drip(server, request("POST /storage/", Content_Length="99", Content_Type=form), b"\n"),
            400,
        ),
        "sends its file letter by letter": (
            drip(
                server,
                request(put_line(server), Content_Length="99", Content_Type="video/mp4", If_None_Match="*"),
            ),
            400,
        ),
        "goes on after the answer": (
            drip(server, request("POST /upload", Content_Length="9999999", Connection="")),
            413,
        ),
    }
    with ThreadPoolExecutor(len(clients)) as pool:
        ends = {name: pool.submit(run) for name, (run, _) in clients.items()}
        told = {name: end.result() for name, end in ends.items()}

    assert {name: status for name, (status, _) in told.items()} == {
        name: status for name, (_, status) in clients.items()
    }
    assert max(seconds for _, seconds in told.values()) < PATIENCE_S
    assert not list((server.data / "incoming").iterdir())


@pytest.mark.thorough
def test_a_client_that_reads_nothing_is_let_go(server):
    with (server.data / "objects" / "large").open("wb") as file:
        file.truncate(64 * 1024**2)
    url = storage_of(server).download_url("large", content_type="video/mp4", expires_in_s=60)
    assert eventually(lambda: not connections_of(server))
    with connected(server) as sock:
        sock.sendall(request(f"GET {url.removeprefix(server.url)}"))
        assert eventually(lambda: connections_of(server))

        assert eventually(lambda: not connections_of(server), within_s=PATIENCE_S)
        sock.settimeout(PATIENCE_S)
        assert len(read(sock)) < 64 * 1024**2


def connections_of(server: Server) -> int:
    """How many it has open now (Linux: sockets in state ESTABLISHED, by their local port)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(f":{server.port:04X}") and row[3] == "01"}
    return len(inodes - {"0"})


def test_requests_on_too_many_connections_are_rejected_and_the_others_served(server):
    crowd = [connected(server) for _ in range(MAX_CONNECTIONS)]
    try:
        answer = say(server, request("POST /storage/", bytes(6_000_000), Origin="http://localhost:3000"))
    finally:
        for sock in crowd:
            sock.close()

    assert (answer.status, answer.code) == (503, "unavailable")
    assert (answer.headers["retry-after"], answer.headers["connection"]) == ("2", "close")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    deadline = time.monotonic() + PATIENCE_S
    while httpx.get(f"{server.url}/health", timeout=5).status_code != 200:
        assert time.monotonic() < deadline


# ── Where it goes, and what it is called ─────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        "/storage/../../../../etc/passwd",
        "/storage/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/storage/..%5c..%5csecret",
        "/storage//etc/passwd",
        "/storage/%00",
        "/storage/%3C/Resource%3E%3Cb%3E&amp;",
        "/storage/secret",
        "/../secret",
        "//etc/passwd",
        "/videos/../../../etc/passwd",
        "/videos/..%2f..%2fsecret/status",
        "/videos/%00/status",
        "/videos/%ff%fe/status",
        "/videos/%0d%0aSet-Cookie:%20a=b/status",
        f"/videos/{NOBODY}/..%2f..%2fsecret",
        f"/videos/{NOBODY}/video.mp4%00.jpg",
        f"/videos/{NOBODY}%0d%0a/status",
        "http://evil.example/etc/passwd",
        "/health/",
        "/nowhere?" + "a=b&" * 3000,
    ],
)
def test_a_path_leads_nowhere_but_where_it_should(server, path):
    answer = say(server, request(f"GET {path}"))

    assert answer.status in (403, 404)
    assert answer.code in ("AccessDenied", "unknown_video", "unknown_route")
    assert "set-cookie" not in answer.headers
    assert "evil.example" not in str(answer.headers)


def test_a_host_that_is_not_ours_decides_no_url(server):
    body = json.dumps({"filename": "a.mp4", "content_type": "video/mp4", "size": 1}).encode()

    answer = say(server, request("POST /upload", body, Host="10.6.6.6:99", X_Forwarded_Host="evil.example"))

    assert answer.status == 201
    assert b"10.6.6.6" not in answer.body
    assert answer.json["url"].startswith(f"http://127.0.0.1:{server.port}/videos/")
    assert answer.json["upload"]["url"] == f"http://127.0.0.1:{server.port}/storage/"
    assert b"evil" not in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PATCH", "/upload", 405), ("BREW", "/health", 405)],
)
def test_what_the_router_refuses_has_the_usual_shape(server, method, path, status):
    answer = say(server, request(f"{method} {path}"))

    assert answer.status == status
    assert answer.code in ("unknown_route", "method_not_allowed")


def test_it_listens_on_this_machine_only(server):
    with pytest.raises(OSError, match=r"refused|unreachable|timed out|assign"):
        socket.create_connection(("127.0.0.2", server.port), timeout=1)


def test_no_input_begins_a_line_of_the_log(server):
    forged = '\r\n{"level":"CRITICAL","message":"forged"}\r\n'
    odd = {"filename": forged, "content_type": forged, "size": 1, "method": forged}
    for wrong in (odd, odd | {"method": "POST"}, odd | {"content_type": "video/mp4", "method": "POST"}):
        say(server, request("POST /upload", json.dumps(wrong).encode()))
    say(server, request(f"GET /videos/{'%0d%0a'}forged/status", User_Agent="forged"))
    form = part(b'name="file"; filename="%s"' % forged.strip().encode()) + b"--b--\r\n"
    say(server, request("POST /upload", form, Content_Type="multipart/form-data; boundary=b"))

    lines = server.log.read_text().splitlines()

    assert not [line for line in lines if line.startswith(("forged", '{"level":"CRITICAL"'))]


# ── Storage ──────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stored(server) -> str:
    """The signed URL of ten bytes, without its host."""
    (server.data / "objects" / "ten").write_bytes(b"0123456789")
    url = storage_of(server).download_url("ten", content_type="video/mp4", expires_in_s=600)
    return url.removeprefix(server.url)


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=5-2", 416, None),
        ("bytes=10-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=-", 200, b"0123456789"),
        ("bytes=0-0,9-9", 200, b"0123456789"),
        ("bytes=" + ",".join(["0-"] * 3000), 200, b"0123456789"),
        ("bytes=x-y", 200, b"0123456789"),
        ("bytes=1-" + "9" * 5000, 200, b"0123456789"),
        ("bytes=²-", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_a_range_is_answered_as_s3_would(server, stored, asked, status, body):
    answer = say(server, request(f"GET {stored}", Range=asked))

    assert answer.status == status
    if body is None:
        assert answer.code == "InvalidRange"
    else:
        assert answer.body == body


def test_what_a_client_has_is_not_sent_again(server, stored):
    first = say(server, request(f"GET {stored}"))

    again = say(server, request(f"GET {stored}", If_None_Match=first.headers["etag"]))
    other = say(server, request(f"GET {stored}", If_None_Match='"other"'))

    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (other.status, other.body) == (200, b"0123456789")


def test_no_browser_guesses_the_type_of_an_answer(server, stored):
    asking = {"Access_Control_Request_Method": "POST"}
    answers = {
        "a file": say(server, request(f"GET {stored}")),
        "a part": say(server, request(f"GET {stored}", Range="bytes=2-4")),
        "S3's refusal": say(server, request("GET /storage/ten")),
        "a handler's": say(server, request("GET /health")),
        "the router's": say(server, request("GET /nothing")),
        "malformed HTTP": say(server, MALFORMED["no host"]),
        "CORS": say(server, request("OPTIONS /upload", Origin="http://localhost", **asking)),
    }

    assert {name for name, answer in answers.items() if not answer.status} == set()
    assert {
        name for name, answer in answers.items() if answer.headers.get("x-content-type-options") != "nosniff"
    } == set()
    ids = {answer.headers.get("x-request-id") for answer in answers.values()}
    assert len(ids - {None}) == len(answers)


def test_a_405_names_every_method_of_the_path(server):
    answer = say(server, request("PATCH /videos/a"))

    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD"}


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text/plain", b"", "PreconditionFailed"),
        ("multipart/form-data", b"--b--", "PreconditionFailed"),
        ("multipart/form-data; boundary=" + "b" * 300, b"--b--", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"", "InvalidArgument"),
        ("multipart/form-data; boundary=b", b"rubbish", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nno name\r\n--b--", "MalformedPOSTRequest"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 50 + b"\r\n", "MalformedPOSTRequest"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff/../x"\r\n\r\nx\r\n--b--\r\n',
            "AccessDenied",
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="policy"\r\n\r\n\xff\xfe\r\n--b\r\n'
            b'Content-Disposition: form-data; name="x-amz-signature"\r\n\r\n\xff\r\n--b\r\n'
            b'Content-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n',
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_an_odd_form_is_refused_in_s3s_words(server, kind, body, code):
    assert say(server, request("POST /storage/", body, Content_Type=kind)).code == code


def upload_form(body: bytes, *, chunk_bytes: int) -> tuple[dict[str, str], bytes]:
    """The fields and the file of an upload form that arrives in chunks of this size."""
    chunks = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    messages = iter({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks)

    async def receive() -> dict:
        return next(messages, {"type": "http.request", "body": b"", "more_body": False})

    async def parse() -> tuple[dict[str, str], bytes]:
        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        form = bucket.UploadForm(Request({"type": "http", "headers": headers}, receive))
        return await form.fields(), b"".join([piece async for piece in form.file()])

    return asyncio.run(parse())


@pytest.mark.parametrize("chunk_bytes", [1, 5, 64, 10_000])
def test_an_upload_form_reads_the_same_in_chunks_of_any_size(chunk_bytes):
    file = b"\r\n--\r\n--c--\r\n\r" + bytes(range(256)) * 8
    body = (
        part(b'name="key"', b"uploads/1") + part(b'name="policy"', "ü".encode()) + part(b'name="empty"', b"")
    )
    body += part(b'name="file"; filename="a.mp4"', file) + part(b'name="key"', b"ignored") + b"--b--\r\n"

    assert upload_form(body, chunk_bytes=chunk_bytes) == (
        {"key": "uploads/1", "policy": "ü", "empty": ""},
        file,
    )


@pytest.mark.parametrize("chunk_bytes", [1000, 100_000])
def test_the_fields_before_a_file_are_limited_however_they_arrive(chunk_bytes):
    flood = b"".join(part(b'name="x-ignore-%d"' % number, b"x" * 700) for number in range(100))

    with pytest.raises(Denied) as denied:
        upload_form(flood + part(b'name="file"') + b"--b--\r\n", chunk_bytes=chunk_bytes)

    assert denied.value.code == "MaxPostPreDataLengthExceeded"


def test_a_form_that_ends_within_its_file_is_malformed():
    with pytest.raises(Denied) as denied:
        upload_form(part(b'name="file"') + b"--b", chunk_bytes=10)

    assert denied.value.code == "MalformedPOSTRequest"


@pytest.mark.parametrize(
    "signature", ["", "0" * 64, "ü" * 64, "x" * 9000], ids=["none", "wrong", "odd", "endless"]
)
def test_a_signature_is_compared_in_constant_time(local_rig, monkeypatch, signature):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: compared.append(pair) or False)
    url = local_rig.storage.download_url("a", content_type="video/mp4", expires_in_s=60)

    with pytest.raises(Denied):
        local_rig.storage.tickets.verify_get(
            "a", {"Content-Type": "video/mp4", "expires": "1", "signature": signature}
        )

    assert [pair[0] for pair in compared] == ([signature.encode()] if signature else [])
    assert "signature=" in url


def test_the_test_server_differs_from_the_real_one_in_patience_alone():
    assert connection.MAX_WAIT_S == {"head": 10, "rest": 5, "reader": 60}
    assert (gateway.BODY_TIMEOUT_S, bucket.UPLOAD_TIMEOUT_S) == (60, 300)
    assert connection.MAX_CONNECTIONS == 800


# ── The handlers themselves ──────────────────────────────────────────────────────

MUCH = 4_000_000
ODD_JSON = {
    "a list of lists": "[" + "[]," * (MUCH // 3) + "[]]",
    "depth": "[" * MUCH,
    "depth that is small": "[" * 60_000,
    "many names": "{" + ",".join(f'"{number}":0' for number in range(300_000)) + "}",
    "a long number": '{"size":' + "9" * 60_000 + "}",
    "a long method": json.dumps({"filename": "a", "content_type": "b", "size": 1, "method": "x" * 60_000}),
    "a long type": json.dumps({"filename": "a", "content_type": "x" * 60_000, "size": 1}),
    "no number": '{"filename": "a", "content_type": "video/mp4", "size": 1, "poster_time": NaN}',
    "no end": '{"filename": "a", "content_type": "video/mp4", "size": 1, "poster_time": 1e999}',
    "a truth for a size": '{"filename": "a", "content_type": "video/mp4", "size": true}',
    "UTF-16": json.dumps({"filename": "a"}).encode("utf-16"),
    "latin-1": '{"filename": "ü"}'.encode("latin-1"),
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
}


@pytest.mark.parametrize("path", ["/upload", "/preflight"])
@pytest.mark.parametrize("body", ODD_JSON.values(), ids=ODD_JSON)
def test_odd_json_is_refused_soon_and_shortly(call, path, body):
    began = time.monotonic()

    status, answer, _ = call("POST", path, body, Content_Type="application/json")

    if len(body) > 65536:
        assert status == 413
    elif (path, status) != ("/preflight", 200):  # which knows no method, nor filename, and wants nothing
        assert status in (400, 415)
        assert answer["suggestions"]
    assert len(json.dumps(answer)) < 1500
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_word_for_is_no_json(call, number):
    status, answer, _ = call("POST", "/preflight", f'{{"duration": {number}}}')

    assert (status, answer["error"]) == (400, "The body is not valid JSON.")


def test_a_long_codec_is_not_told_back(call):
    _, answer, _ = call("POST", "/preflight", json.dumps({"codec": "x" * 60_000}))

    assert answer["violations"][0]["rule"] == "codec"
    assert len(json.dumps(answer)) < 2000


FILE = b'name="file"; filename="a.mp4"\r\nContent-Type: video/mp4'
ODD_FORMS = {
    "ten thousand fields": b"".join(part(b'name="%d"' % number) for number in range(10_000)),
    "ten thousand files": part(FILE) * 10_000,
    "a header without end": b"--b\r\nX: " + b"x" * MUCH,
    "headers without number": b"--b\r\n" + b"X: y\r\n" * 100_000,
    "a long poster time": part(b'name="poster_time"', b"9" * MUCH) + part(FILE),
    "no poster time": part(b'name="poster_time"', b"nan") + part(FILE),
    "nothing but line ends": b"\r\n" * (MUCH // 2),
    "nothing but dashes": part(FILE, b"\r\n--" * (MUCH // 4)),
    "a NUL in a name": part(b'name="file"; filename="a\0\r.mp4"'),
    "a form within a form": part(
        FILE + b"\r\nContent-Type: multipart/mixed; boundary=c", b"--c\r\n\r\nx\r\n--c--"
    ),
    "no name": part(b'filename="a.mp4"'),
    "no disposition": b"--b\r\n\r\nx\r\n",
    "an end too soon": b"--b\r\nContent-Disposition: form-data; " + FILE + b"\r\n\r\nxxx",
}


@pytest.mark.parametrize("body", ODD_FORMS.values(), ids=ODD_FORMS)
def test_an_odd_form_is_refused_soon_and_shortly(call, body):
    began = time.monotonic()

    status, answer, _ = call(
        "POST", "/upload", body + b"--b--\r\n", Content_Type="multipart/form-data; boundary=b"
    )

    assert status in (400, 415, 422)
    assert answer["suggestions"]
    assert len(json.dumps(answer)) < 6000
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("猫.mp4".encode(), "猫.mp4"), (b"caf\xe9.mp4", "caf\ufffd.mp4"), (b"a%22b.mp4", 'a"b.mp4')],
    ids=["UTF-8", "latin-1", "an escaped quote"],
)
def test_a_form_may_name_its_file_in_any_encoding(call, clip, sent, shown):
    body = part(b'name="file"; filename="%s"\r\nContent-Type: video/mp4' % sent, clip().read_bytes())

    _, answer, _ = call(
        "POST", "/upload", body + b"--b--\r\n", Content_Type="multipart/form-data; boundary=b"
    )

    assert call("GET", f"/videos/{answer['id']}/metadata")[1]["filename"] == shown


def test_a_form_of_too_many_parts_is_told_so(call):
    body = b"".join(part(b'name="%d"' % number) for number in range(100)) + part(FILE) + b"--b--\r\n"

    status, answer, _ = call("POST", "/upload", body, Content_Type="multipart/form-data; boundary=b")

    assert status == 400
    assert "more than 100 parts" in answer["error"]


@pytest.mark.parametrize(
    "boundary", ["", "; boundary=", "; boundary=" + "b" * 5000, "; boundary=\ud800", "; boundary=ü\0"]
)
def test_a_form_with_an_odd_boundary_is_refused(call, boundary):
    status, answer, _ = call("POST", "/upload", b"--b--", Content_Type=f"multipart/form-data{boundary}")

    assert (status, answer["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\cat.mp4", "cat.mp4"),
        ("a\r\nSet-Cookie: b\0.mp4", "aSet-Cookie: b.mp4"),
        ("\ud800\u202egpj.mp4", "gpj.mp4"),
        ("", "video"),
        ("..", ".."),
        ("x" * 100_00, "x" * 255),
    ],
)
def test_a_filename_is_shown_and_nothing_else(call, told, shown):
    _, ticket, _ = ask(call, filename=told)

    _, metadata, _ = call("GET", f"/videos/{ticket['id']}/metadata")

    assert metadata["filename"] == shown
    assert ticket["upload"]["fields"]["key"] == f"uploads/{ticket['id']}"


def test_ids_cannot_be_guessed_from_each_other(call):
    ids = [int(ask(call)[1]["id"].replace("-", ""), 16) for _ in range(20)]

    random_bits = {number & (2**62 - 1) for number in ids}
    changed = sum(
        (one ^ other).bit_count() for one, other in zip(random_bits, list(random_bits)[1:], strict=False)
    )
    assert len(random_bits) == 20
    assert 22 < changed / 19 < 40  # half of 62, more or less


def test_every_refusal_is_short_whatever_the_path(call):
    for path in ("/videos/" + "x" * 100_000 + "/status", "/" + "a/" * 50_000, "/videos/\ud800\0/status"):
        status, answer, _ = call("GET", path)
        assert status == 404
        assert len(json.dumps(answer)) < 1000


@pytest.mark.parametrize("body", ["%", "ü", "A" * MUCH])
@pytest.mark.usefixtures("call")
def test_a_body_that_is_no_base64_is_refused(event, body):
    sent = event("request_upload") | {"body": body, "isBase64Encoded": True}

    answer = request_upload.handler(sent, Context())

    assert answer["statusCode"] in (400, 413)
    assert json.loads(answer["body"])["suggestions"]


@pytest.mark.usefixtures("call")
def test_a_request_without_headers_is_answered(event):
    sent = event("request_upload") | {"headers": None, "multiValueHeaders": None, "body": None}

    assert request_upload.handler(sent, Context())["statusCode"] == 400


@pytest.mark.usefixtures("call")
@pytest.mark.parametrize("base_path", ["/media", "/api/v2/"])
@pytest.mark.parametrize(
    ("function", "method", "path"),
    [
        ("check_health", "GET", "/health"),
        ("read_video", "GET", f"/videos/{NOBODY}/status"),
        ("request_upload", "POST", "/preflight"),
    ],
)
def test_a_custom_domain_may_have_a_base_path(event, monkeypatch, base_path, function, method, path):
    """API Gateway sends it along with the path."""
    monkeypatch.setenv("PUBLIC_URL", f"https://example.com{base_path}")
    wiring.http_settings.cache_clear()
    handler = runpy.run_path(str(FUNCTIONS / f"{function}.py"))["handler"]  # imported anew, as in Lambda

    for prefix in (base_path.rstrip("/"), ""):  # by the domain, by API Gateway's own address
        answer = handler(event(function) | {"httpMethod": method, "path": f"{prefix}{path}"}, Context())
        assert "No such route" not in answer["body"]


@pytest.mark.usefixtures("call")
def test_the_setting_wins_over_what_the_gateway_was_called_by(event):
    sent = event("request_upload")
    sent["requestContext"]["domainName"] = "evil.example"
    sent["headers"]["Host"] = sent["headers"]["X-Forwarded-Host"] = "evil.example"

    answer = request_upload.handler(sent, Context())

    assert answer["statusCode"] == 201
    assert "evil" not in answer["body"]
