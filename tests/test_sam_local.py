"""The functions in `sam local`, in Lambda's own image, beside an emulator: run with --sam-local."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev import emulator
from dev.client import App

PROJECT = Path(__file__).parent.parent
PORT = 3001
IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"

# What each function answers to the sample in events/, on a fresh stack.
ANSWERS = {
    "RequestUpload": lambda answer: answer["statusCode"] == 201,
    "CheckUpload": lambda answer: answer is None,  # nothing was uploaded: nothing to do
    "TranscodeVideo": lambda answer: answer == {"batchItemFailures": []},
    "ReadVideo": lambda answer: answer["statusCode"] == 404 and "unknown_video" in answer["body"],
    "PublishChanges": lambda answer: answer is None,
    "DeliverWebhook": lambda answer: len(answer["batchItemFailures"]) == 1,  # nobody is there: again later
    "RecoverVideos": lambda answer: answer is None,
    "CheckHealth": lambda answer: answer["statusCode"] == 200 and '"ok"' in answer["body"],
}


pytestmark = pytest.mark.sam_local


@pytest.fixture(scope="module")
def options(stack: emulator.Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What `sam local` must know to reach the stack in the emulator."""
    variables = tmp_path_factory.mktemp("sam-local") / "env.json"
    variables.write_text(json.dumps({"Parameters": emulator.variables(stack, f"http://127.0.0.1:{PORT}")}))
    present = (
        subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode
        == 0
    )
    host = f"host.docker.internal:{emulator.docker_host()}" if sys.platform == "linux" else ""
    return [
        *("--env-vars", str(variables)),
        *(("--add-host", host) if host else ()),  # elsewhere Docker knows that name by itself
        *(("--skip-pull-image",) if present else ()),
    ]


@pytest.mark.parametrize("function", ANSWERS)
def test_each_function_answers_its_sample_event(function, options):
    event = PROJECT / "events" / f"{re.sub('(?<!^)(?=[A-Z])', '_', function).lower()}.json"

    invoked = sam("local", "invoke", function, "--event", str(event), *options)

    assert invoked.returncode == 0, invoked.stderr
    assert ANSWERS[function](json.loads(invoked.stdout.strip().splitlines()[-1])), invoked.stdout


def test_the_api_answers_ticket_status_and_health(options, clip):
    with started_api(options):
        app = App(f"http://127.0.0.1:{PORT}")

        ticket = app.upload(clip())

        assert app.follow(ticket["id"])["state"] == "completed"  # the emulator's own functions do the work
        assert app.metadata(ticket["id"])["url"] == ticket["url"]
        assert httpx.get(ticket["url"]).status_code == 302
        assert app.http.get("/health").json()["status"] == "ok"
        assert app.http.get("/videos/none/status").json()["code"] == "unknown_video"


@contextlib.contextmanager
def started_api(options: list[str]) -> Iterator[None]:
    """`sam local start-api`, from its first answer until it is stopped; no container stays behind."""
    before = containers()
    command = ["sam", "local", "start-api", "--port", str(PORT), *options]
    process = subprocess.Popen(command, cwd=PROJECT, env=environment(), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not answers():
            assert process.poll() is None, "sam local start-api ended"
            assert time.monotonic() < deadline, "sam local start-api does not answer"
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        if left := containers() - before:
            subprocess.run(["docker", "rm", "--force", *left], check=True, capture_output=True)


def answers() -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{PORT}/health", timeout=30).status_code == 200
    return False


def containers() -> set[str]:
    label = "label=sam.cli.container.type=lambda"
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def sam(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sam", *arguments],
        cwd=PROJECT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def environment() -> dict[str, Any]:
    return os.environ | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": emulator.REGION,
        "AWS_ENDPOINT_URL": "",
    }
