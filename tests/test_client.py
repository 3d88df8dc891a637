"""The client of clients/javascript in node, against the local server; and its types."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.clips import make_clip
from dev.server import Server

PROJECT = Path(__file__).parent.parent
CLIENT = PROJECT / "clients" / "javascript"
TSC = CLIENT / "node_modules" / ".bin" / "tsc"
MISSING = [
    name
    for name, is_there in {
        "node": shutil.which("node"),
        "tsc (make test-clients installs it)": TSC.exists(),
    }.items()
    if not is_there
]
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]


def test_the_client_does_in_node_what_its_tests_say(tmp_path):
    clips = {
        "GOOD_CLIP": make_clip(tmp_path / "good.mp4", seconds=2),
        "LONG_CLIP": make_clip(tmp_path / "long.mp4", seconds=6),
        "FAST_CLIP": make_clip(tmp_path / "fast.mp4", seconds=6, rate="60"),
    }
    with Server(tmp_path / "data") as server:
        environment = os.environ | {"SERVER": server.url} | {name: str(path) for name, path in clips.items()}

        ran = subprocess.run(
            ["node", "--test", "--test-reporter=tap", "tests/javascript/tiktoken.test.js"],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n# pass 41\n" in ran.stdout, ran.stdout


def test_the_types_are_those_that_tsc_writes(tmp_path):
    checked = subprocess.run(
        [TSC, "--outDir", tmp_path], cwd=CLIENT, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout
    written = (tmp_path / "tiktoken.d.ts").read_text()
    assert written == (CLIENT / "tiktoken.d.ts").read_text(), "cd clients/javascript && npm run types"
