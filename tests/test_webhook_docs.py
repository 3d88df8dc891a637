"""The code that docs/api.md shows about webhooks does what it says."""

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dev.client import App
from dev.server import Server, free_port
from support.processes import eventually
from support.snippets import snippets
from videos.telling.signing import signed

NODE = Path(__file__).parent / "webhooks"
SECRET = f"whsec_{base64.b64encode(b'n' * 32).decode()}"
OTHER = f"whsec_{base64.b64encode(b'o' * 32).decode()}"
BODY = json.dumps({"id": "evt_1", "data": {"says": "Grüße, 猫"}}, ensure_ascii=False)


def cases() -> dict[str, tuple[str, dict[str, str], bool]]:
    """Body, headers and whether that is genuine."""
    now = datetime.now(UTC)
    headers = signed("evt_1", BODY, [SECRET], now)
    return {
        "genuine": (BODY, headers, True),
        "while the secret is replaced": (BODY, signed("evt_1", BODY, [OTHER, SECRET], now), True),
        "another secret": (BODY, signed("evt_1", BODY, [OTHER], now), False),
        "another body": (BODY + " ", headers, False),
        "another id": (BODY, headers | {"webhook-id": "evt_2"}, False),
        "an hour old": (BODY, signed("evt_1", BODY, [SECRET], now - timedelta(hours=1)), False),
        "no signature": (BODY, {**headers, "webhook-signature": ""}, False),
        "no headers": (BODY, {}, False),
    }


def defined(heading: str) -> dict:
    [code] = snippets(heading, "python")
    found: dict = {}
    exec(compile(code, heading, "exec"), found)  # noqa: S102 - our own documentation
    return found


@pytest.mark.parametrize("case", cases())
def test_the_python_of_the_documentation_takes_what_is_genuine_and_nothing_else(case):
    body, headers, is_genuine = cases()[case]

    event = defined("Webhooks")["verified"](body.encode(), headers, SECRET)

    assert event == (json.loads(BODY) if is_genuine else None)


@pytest.mark.clients
def test_the_javascript_of_the_documentation_takes_what_is_genuine_and_nothing_else(tmp_path):
    if not (shutil.which("node") and (NODE / "node_modules").is_dir()):
        pytest.skip("needs node and npm: make test-clients")
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    [code] = snippets("Webhooks", "js")
    (tmp_path / "verify.mjs").write_text(code)
    given = [[body, headers] for body, headers, _ in cases().values()]
    (tmp_path / "cases.json").write_text(json.dumps({"secret": SECRET, "given": given}))
    (tmp_path / "run.mjs").write_text(
        "import fs from 'node:fs'; import { verified } from './verify.mjs';"
        "const { given, secret } = JSON.parse(fs.readFileSync('cases.json'));"
        "console.log(JSON.stringify(given.map(([b, h]) => verified(Buffer.from(b), h, secret))));"
    )

    ran = subprocess.run(["node", "run.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True)

    found = dict(zip(cases(), json.loads(ran.stdout), strict=True))
    assert found == {
        name: json.loads(BODY) if is_genuine else None for name, (_, _, is_genuine) in cases().items()
    }


def test_what_comes_late_does_not_change_the_picture():
    apply, known = defined("Retries and order")["apply"], {}

    def event(video, version, state):
        return {"data": {"id": video, "version": version, "state": state}}

    for one in (
        ("a", 2, "queued"),
        ("a", 5, "completed"),
        ("a", 2, "queued"),
        ("b", 1, "queued"),
        ("b", 7, None),
    ):
        apply(event(*one), known)

    assert known == {"a": (5, "completed"), "b": (7, None)}


@pytest.mark.thorough
def test_the_receiver_of_the_documentation_is_told_by_the_local_server(tmp_path, clip, monkeypatch):
    port = free_port()
    file = tmp_path / "receiver.py"
    [code] = snippets("Try it on a laptop", "python")
    file.write_text(code.replace("9000", str(port)))
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    log = (tmp_path / "receiver.log").open("wb")
    receiver = subprocess.Popen([sys.executable, file], stdout=log, stderr=subprocess.DEVNULL, env=os.environ)
    try:
        monkeypatch.setenv("WEBHOOK_URL", f"http://localhost:{port}/")
        with Server(tmp_path / "data") as server:
            app = App(server.url)
            video_id = app.upload(clip())["id"]
            app.follow(video_id)
            assert eventually(lambda: len((tmp_path / "receiver.log").read_text().splitlines()) == 2)
        told = [ast.literal_eval(line) for line in (tmp_path / "receiver.log").read_text().splitlines()]
        assert [(event["type"], event["data"]["id"]) for event in told] == [
            ("video.playable", video_id),
            ("video.completed", video_id),
        ]
    finally:
        receiver.kill()
        receiver.wait()
        log.close()


def test_the_receiver_of_the_documentation_has_ten_lines():
    [code] = snippets("Try it on a laptop", "python")

    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 10


def test_the_documentation_names_the_pauses_between_attempts():
    text = (Path(__file__).parent.parent / "docs" / "api.md").read_text()
    [told] = re.findall(r"is sent again after (.*?):", text.replace("\n", " "))
    units = {"s": 1, "min": 60, "h": 3600}
    pauses_s = [int(number) * units[unit] for number, unit in re.findall(r"(\d+) (min|s|h)", told)]

    assert pauses_s == [5, 60, 300, 1800, 3600, 7200, 14_400, 28_800, 32_400]
