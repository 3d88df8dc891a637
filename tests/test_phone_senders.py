"""What the senders of Expo and React Native put on the wire, byte for byte, is stored by the local server.

Reproduced from what they publish on npm:

- upload tasks and ``uploadAsync``, expo-file-system 57.0.7: ``ios/FileSystemUploadTask.swift``,
  ``ios/Legacy/NetworkingHelpers.swift``, ``android/…/FileSystemUploadTask.kt``;
- a ``FormData`` with a ``{uri}``, react-native 0.86.3: ``Libraries/Network/RCTNetworking.mm``,
  ``ReactAndroid/…/NetworkingModule.kt``;
- ``fetch``, expo 57.0.24: ``src/winter/fetch/convertFormData.ts``, which clients/expo runs as it is.

Android's bytes are OkHttp's, 4.9.2: ``MultipartBody.kt``, ``BridgeInterceptor.kt``. iOS's heads are
CFNetwork's, which is closed, in no fixed order. Swift's dictionaries have none either: a form's fields come
in any, but before the file.
"""

from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from random import Random
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest

from dev.client import App
from dev.server import Server
from support.sockets import connected

FUNCTIONS = Path(__file__).parent.parent / "functions"
# The server as it is, but that nothing is told of a file: so it stays where storage has put it.
UNCHECKED = f"""
import sys
sys.path.insert(0, {str(FUNCTIONS)!r})
import local_server
from local_aws.workers import Workers
Workers.notify = lambda self, key: None
local_server.main()
"""

Fields = dict[str, str]
Form = Callable[[Fields, str, str, bytes, Random], tuple[str, bytes]]
Head = Callable[[dict[str, str], Random], dict[str, str]]
ODD_NAME = 'fête "1".mp4'


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("phones"), program=("-c", UNCHECKED)) as running:
        yield running


@pytest.fixture
def film(clip) -> bytes:
    return clip().read_bytes()


# ── Bodies: the value of Content-Type, and the bytes ─────────────────────────────


def ios_task(fields: Fields, field: str, filename: str, file: bytes, chance: Random) -> tuple[str, bytes]:
    """createMultipartBody: the file last, its name as it is."""
    boundary = str(uuid4()).upper()
    body = b""
    for name in chance.sample(sorted(fields), len(fields)):
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        body += f"{fields[name]}\r\n".encode()
    body += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'.encode()
    )
    body += b"Content-Type: video/mp4\r\n\r\n" + file + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body


def android_task(fields: Fields, field: str, filename: str, file: bytes, chance: Random) -> tuple[str, bytes]:
    """createMultipartRequestBody: OkHttp tells every part's length, and escapes quotes."""
    boundary = str(uuid4())
    parts = [
        (f'form-data; name="{name}"', "", fields[name].encode())
        for name in chance.sample(sorted(fields), len(fields))
    ]
    escaped = filename.replace('"', "%22")
    parts.append((f'form-data; name="{field}"; filename="{escaped}"', "video/mp4", file))
    return f"multipart/form-data; boundary={boundary}", okhttp(boundary, "Content-Disposition", parts)


def react_native_ios(
    fields: Fields, field: str, filename: str, file: bytes, chance: Random
) -> tuple[str, bytes]:
    """RCTHTTPFormDataHelper: fields as they were appended, headers of a part in any order."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
    boundary = "".join(chance.choices(letters, k=70))
    body = b""
    for name, value in fields.items():
        body += f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    headers = [
        f'content-disposition: form-data; name="{field}"; filename="{quote(filename)}"\r\n',
        "content-type: video/mp4\r\n",
    ]
    body += f"--{boundary}\r\n{''.join(chance.sample(headers, 2))}\r\n".encode() + file + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def react_native_android(
    fields: Fields, field: str, filename: str, file: bytes, _chance: Random
) -> tuple[str, bytes]:
    """constructMultipartBody: fields as they were appended."""
    boundary = str(uuid4())
    parts = [(f'form-data; name="{name}"', "", value.encode()) for name, value in fields.items()]
    parts.append((f'form-data; name="{field}"; filename="{quote(filename)}"', "video/mp4", file))
    return f"multipart/form-data; boundary={boundary}", okhttp(boundary, "content-disposition", parts)


def expo_fetch(fields: Fields, field: str, filename: str, file: bytes, chance: Random) -> tuple[str, bytes]:
    """convertFormDataAsync."""
    boundary = "----ExpoFetchFormBoundary" + "".join(chance.choices("ABCabc019", k=16))
    body = b""
    for name, value in fields.items():
        body += f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    disposition = f'content-disposition: form-data; name="{field}"; filename="{quote(filename)}"'
    body += f"--{boundary}\r\n{disposition}\r\ncontent-type: video/mp4\r\n\r\n".encode() + file + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def okhttp(boundary: str, disposition_name: str, parts: list[tuple[str, str, bytes]]) -> bytes:
    """MultipartBody.writeOrCountBytes."""
    written = b""
    for disposition, content_type, body in parts:
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"{disposition_name}: {disposition}\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
        written += f"--{boundary}\r\n{head}".encode() + body + b"\r\n"
    return written + f"--{boundary}--\r\n".encode()


# ── Heads ────────────────────────────────────────────────────────────────────────


def cfnetwork(headers: dict[str, str], chance: Random) -> dict[str, str]:
    head = headers | {
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Accept-Language": "de-DE,de;q=0.9",
        "Connection": "keep-alive",
        "User-Agent": "TikToken/1 CFNetwork/3860.100.1 Darwin/25.0.0",
    }
    return {name: head[name] for name in chance.sample(sorted(head), len(head))}


def bridge_interceptor(headers: dict[str, str], _chance: Random) -> dict[str, str]:
    """The app's own headers come before Host."""
    own = {name: value for name, value in headers.items() if name not in ("Content-Length", "Host")}
    return own | {
        "Content-Length": headers["Content-Length"],
        "Host": headers["Host"],
        "Connection": "Keep-Alive",
        "Accept-Encoding": "gzip",
        "User-Agent": "okhttp/4.9.2",
    }


FORMS: dict[str, tuple[Form, Head]] = {
    "an upload task on iOS": (ios_task, cfnetwork),
    "an upload task on Android": (android_task, bridge_interceptor),
    "React Native's FormData on iOS": (react_native_ios, cfnetwork),
    "React Native's FormData on Android": (react_native_android, bridge_interceptor),
    "Expo's fetch on iOS": (expo_fetch, cfnetwork),
    "Expo's fetch on Android": (expo_fetch, bridge_interceptor),
}
TASKS = [sender for sender in FORMS if "task" in sender]


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311  an order, no secret


def send(
    server: Server, line: str, head: Head, headers: dict[str, str], body: bytes, chance: Random
) -> HTTPResponse:
    """Send the request over a socket; the answer, read."""
    full = {"Host": f"localhost:{server.port}", "Content-Length": str(len(body))} | headers
    lines = [f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in head(full, chance).items())]
    with connected(server) as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = HTTPResponse(sock)
        answer.begin()
        answer.body = answer.read()  # type: ignore[attr-defined]
    return answer


def send_form(server: Server, path: str, sender: str, fields: Fields, film: bytes, **options) -> HTTPResponse:
    form, head = FORMS[sender]
    chance = seeded(options.get("seed", 0))
    field, filename = options.get("field", "file"), options.get("filename", "clip.mp4")
    content_type, body = form(fields, field, filename, film, chance)
    return send(server, f"POST {path}", head, {"Content-Type": content_type}, body, chance)


def stored(server: Server, ticket: dict) -> bytes:
    [path] = server.data.rglob(f"uploads/{ticket['id']}")
    return path.read_bytes()


# ── To storage ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sender", FORMS)
@pytest.mark.parametrize("filename", ["clip.mp4", pytest.param(ODD_NAME, marks=pytest.mark.thorough)])
def test_a_form_is_stored_as_the_phone_sends_it(server, clip, film, sender, filename):
    for seed in range(3):
        ticket = App(server.url).ticket(clip())
        fields = ticket["upload"]["fields"]

        answer = send_form(server, "/storage/", sender, fields, film, filename=filename, seed=seed)

        assert answer.status == 204, answer.body
        assert stored(server, ticket) == film


@pytest.mark.parametrize("sender", TASKS)
def test_an_upload_task_without_a_field_name_is_refused_as_by_s3(server, clip, film, sender):
    """It names the part like the file, whatever its documentation says of a default."""
    fields = App(server.url).ticket(clip())["upload"]["fields"]

    answer = send_form(server, "/storage/", sender, fields, film, field="clip.mp4")

    assert answer.status == 400
    assert b"<Code>MaxPostPreDataLengthExceeded</Code>" in answer.body  # as of S3: a field, not the file


@pytest.mark.parametrize("head", [cfnetwork, bridge_interceptor])
def test_the_raw_body_of_an_upload_task_is_stored(server, clip, film, head):
    """``createUploadTask`` with its default, BINARY_CONTENT: the ticket's headers and the file."""
    for seed in range(3):
        ticket = App(server.url).ticket(clip(), method="PUT", exact_size=True)
        headers, url = ticket["upload"]["headers"], urlsplit(ticket["upload"]["url"])
        line = f"PUT {url.path}?{url.query}"

        first = send(server, line, head, headers, film, seeded(seed))
        repeat = send(server, line, head, headers, film[::-1], seeded(seed))

        assert (first.status, repeat.status) == (200, 412), first.body
        assert stored(server, ticket) == film


# ── To the API, all in one ───────────────────────────────────────────────────────


@pytest.mark.thorough
@pytest.mark.parametrize("sender", FORMS)
def test_a_form_in_one_request_is_checked_as_the_phone_sends_it(server, film, sender):
    fields = {"poster_time": "0.5", "external_id": "post-7", "custom": '{"caption": "fête"}'}

    answer = send_form(server, "/upload", sender, fields, film, filename=ODD_NAME)

    assert answer.status == 201, answer.body
