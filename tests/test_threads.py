"""The first requests of a process come side by side: nothing is built twice by two threads at once."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parent.parent / "functions"
# A switch of threads every few bytecodes, so that two of them meet while the first record is read.
READ_SIDE_BY_SIDE = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from tempfile import TemporaryDirectory
from pathlib import Path
from datetime import UTC, datetime
from videos.stores.local.records import SqliteVideos
from videos.model import Video

now = datetime.now(UTC)
with TemporaryDirectory() as folder:
    videos = SqliteVideos(Path(folder) / "videos.db")
    videos.add(Video(id="v1", filename="a.mp4", content_type="video/mp4", created_at=now, updated_at=now,
                     upload_expires_at=now))
    ready = threading.Barrier(16)

    def read():
        ready.wait()
        for _ in range(20):
            assert videos.get("v1").filename == "a.mp4"

    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("read")
"""


def test_the_first_record_of_a_process_can_be_read_by_many_threads_at_once():
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", READ_SIDE_BY_SIDE, str(FUNCTIONS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]

    ended = [(*process.communicate(timeout=60), process.returncode) for process in processes]

    assert ended == [("read\n", "", 0)] * 8


@pytest.mark.parametrize(
    "module", sorted(FUNCTIONS.rglob("*.py")), ids=lambda path: str(path.relative_to(FUNCTIONS))
)
def test_types_for_decoding_are_built_at_import(module):
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]

    built_late = [
        ast.unparse(call.func)
        for call in calls
        if ast.unparse(call.func) in ("msgspec.convert", "msgspec.json.decode", "json.decode", "convert")
    ]

    assert built_late == []
