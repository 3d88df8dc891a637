"""What local storage does not take is a line of the log: which video, why, and nothing secret."""

import json

import httpx
import pytest

from dev.client import App, send
from dev.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running


def denials(server: Server, key: str) -> list[dict]:
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if (line["message"], line.get("key")) == ("storage denied a request", key)]


def test_an_upload_that_is_too_large(server, clip):
    ticket = App(server.url).ticket(clip())

    send(ticket["upload"], bytes(6_291_457))

    [line] = denials(server, f"uploads/{ticket['id']}")
    assert (line["video_id"], line["method"], line["code"]) == (ticket["id"], "POST", "EntityTooLarge")
    assert line["status"] == 400
    assert line["reason"] == "Your proposed upload exceeds the maximum allowed size of 6291456 bytes."


def test_a_forged_form_is_logged_without_its_signature_and_policy(server, clip):
    ticket = App(server.url).ticket(clip())
    fields = ticket["upload"]["fields"]
    ticket["upload"]["fields"] = fields | {"Content-Type": "text/html"}

    assert send(ticket["upload"], b"x").status_code == 403

    [line] = denials(server, f"uploads/{ticket['id']}")
    assert line["code"] == "AccessDenied"
    assert "Content-Type is 'text/html'" in line["reason"]
    assert not [secret for secret in (fields["policy"], fields["x-amz-signature"]) if secret in str(line)]


def test_a_forged_url_is_logged_without_its_signature(server, clip):
    upload = App(server.url).ticket(clip(), method="PUT")["upload"]
    signature = httpx.URL(upload["url"]).params["signature"]
    key = httpx.URL(upload["url"]).path.removeprefix("/storage/")

    httpx.put(upload["url"].replace("video%2Fmp4", "text%2Fhtml"), content=b"x", headers=upload["headers"])

    [line] = denials(server, key)
    assert (line["code"], line["status"]) == ("SignatureDoesNotMatch", 403)
    assert signature not in str(line)


def test_a_long_key_is_cut(server):
    httpx.get(f"{server.url}/storage/{'a' * 5000}")

    [line] = denials(server, "a" * 100)
    assert line["code"] == "AccessDenied"
    assert "video_id" not in line


def test_what_is_taken_is_not_logged(server, clip):
    ticket = App(server.url).upload(clip())

    assert denials(server, f"uploads/{ticket['id']}") == []
