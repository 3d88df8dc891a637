"""What an operator gets wrong ends with one sentence and exit status 2; nothing is created or changed."""

import argparse
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from dev.server import Server, free_port
from videos import mistakes, wiring

FUNCTIONS = Path(__file__).parent.parent / "functions"
LOCAL_SERVER = [str(FUNCTIONS / "local_server.py")]
REDRIVE = ["-m", "videos.cli.redrive"]
CHECK_FILES = ["-m", "videos.cli.check_files"]


def run(*command: object, wrapper: tuple[str, ...] = (), **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*wrapper, sys.executable, *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(FUNCTIONS), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def serve(data: Path, *options: object, **settings) -> subprocess.CompletedProcess[str]:
    return run(*LOCAL_SERVER, "--port", 0, "--data", data, *options, **settings)


def redrive(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return run(*REDRIVE, STORAGE_MODE="local", LOCAL_FOLDER=str(folder), **settings)


def told(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line of a process that ended for a mistake."""
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    [line] = ended.stderr.splitlines()
    return line


@pytest.fixture
def without_root() -> tuple[str, ...]:
    """What to run a program with so that permissions of files hold, for root too."""
    if os.geteuid():
        return ()
    if not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def used(tmp_path) -> Path:
    """A data folder that a server has used."""
    folder = tmp_path / "used"
    service = wiring.make_service({"STORAGE_MODE": "local", "LOCAL_FOLDER": str(folder)})
    for number in range(1000):
        service.jobs.put(f"video-{number}")
    return folder


# ── The data folder ──────────────────────────────────────────────────────────────


def test_a_file_as_the_data_folder(tmp_path):
    file = tmp_path / "clip.mp4"
    file.write_text("a")

    assert told(serve(file)) == f"Cannot keep data in {file}: it is a file."
    assert file.read_text() == "a"


def test_a_data_folder_inside_a_file(tmp_path):
    (tmp_path / "clip.mp4").write_text("a")
    folder = tmp_path / "clip.mp4" / "data"

    assert told(serve(folder)) == f"Cannot keep data in {folder}: Not a directory."


def test_a_data_folder_that_may_not_be_created(tmp_path, without_root):
    tmp_path.chmod(0o500)
    folder = tmp_path / "data"

    assert told(serve(folder, wrapper=without_root)) == f"Cannot keep data in {folder}: Permission denied."


def test_a_data_folder_that_may_not_be_written(used, without_root):
    used.chmod(0o500)

    assert told(serve(used, wrapper=without_root)) == f"Cannot keep data in {used}: Permission denied."


def test_a_database_that_is_none(tmp_path):
    (tmp_path / "videos.db").write_text("Dear Sir or Madam, " * 100)

    assert told(serve(tmp_path)) == (
        f"Cannot keep data in {tmp_path}: the database is unavailable: file is not a database."
    )


def test_a_database_with_a_broken_page(used):
    with sqlite3.connect(used / "videos.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [(first,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs'")
    connection.close()
    data = bytearray((used / "videos.db").read_bytes())
    data[(first - 1) * 4096 : first * 4096] = bytes(4096)
    (used / "videos.db").write_bytes(data)

    assert told(serve(used)) == (
        f"Cannot keep data in {used}: the database is unavailable: database disk image is malformed."
    )


def test_a_data_folder_in_use(tmp_path):
    with Server(tmp_path):
        assert told(serve(tmp_path)) == (
            f"Another server uses {tmp_path}: stop it, or choose another folder with --data."
        )


# ── The port ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("port", ["http", "-1", "65536", "8000.5", "٣", "²"])
def test_a_port_that_is_none(tmp_path, port):
    assert told(serve(tmp_path / "data", f"--port={port}")) == (
        f"local_server.py: argument --port: a port is a number from 0 to 65535, not {port!r}; see --help."
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "url",
    ["", "192.168.1.5:8000", "ftp://a", "http://", "http://a:b", "http://a:99999", "http://[::1", "http://a/?b",
     "http://a b", "$(touch pwned)"],
)  # fmt: skip
def test_a_public_url_that_is_none(url):
    with pytest.raises(argparse.ArgumentTypeError, match="a URL is such as http"):
        mistakes.public_url(url)


def test_the_server_says_that_a_public_url_is_none(tmp_path):
    assert told(serve(tmp_path / "data", "--public-url=192.168.1.5:8000")) == (
        "local_server.py: argument --public-url: "
        "a URL is such as http://192.168.1.5:8000, not '192.168.1.5:8000'; see --help."
    )
    assert not (tmp_path / "data").exists()


def test_a_taken_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert told(serve(tmp_path, "--port", port)) == (
            f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
            "Choose another with --port or --host."
        )


# ── Other settings ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MAX_BYTES": "6 MB"}, "MAX_BYTES, MAX_FIX_BYTES and MAX_DURATION_S must be numbers"),
        ({"MAX_FIX_BYTES": "1000"}, "MAX_FIX_BYTES must be at least MAX_BYTES."),
        ({"ON_VIOLATION": "repair"}, "ON_VIOLATION is 'repair'; use 'reject' or 'fix'."),
        ({"JWT_ISSUER": "https://issuer"}, "Set both JWT_ISSUER and JWT_AUDIENCE"),
        ({"WEBHOOK_URL": "localhost:9000"}, "WEBHOOK_URL is invalid: it does not begin with https://."),
        ({"WEBHOOK_URL": "http://a@localhost/"}, "WEBHOOK_URL is invalid: it holds a user's name"),
        (
            {"WEBHOOK_URL": "http://localhost:9000/", "WEBHOOK_ALLOW_PRIVATE": "no"},
            "WEBHOOK_URL is invalid: it must begin with https://.",
        ),
        ({"WEBHOOK_URL": "http://a/", "WEBHOOK_ALLOW_PRIVATE": "si"}, "WEBHOOK_ALLOW_PRIVATE is 'si'; use"),
        (
            {"WEBHOOK_URL": "http://a/", "WEBHOOK_SECRET": "sesame"},
            "WEBHOOK_SECRET must be one or two secrets",
        ),
    ],
)
def test_a_setting_without_sense(tmp_path, settings, sentence):
    assert told(serve(tmp_path, **settings)).startswith(sentence)


# ── The demo ─────────────────────────────────────────────────────────────────────


def demo(*options: object) -> subprocess.CompletedProcess[str]:
    return run("-m", "dev.demo", *options, PYTHONPATH=f"{FUNCTIONS}:{FUNCTIONS.parent}", ONCE="1")


def test_the_demo_with_a_file_as_the_data_folder(tmp_path):
    file = tmp_path / "clip.mp4"
    file.write_text("a")

    assert told(demo("--port", free_port(), "--data", file)) == f"Cannot keep data in {file}: it is a file."


def test_the_demo_on_a_port_that_is_none(tmp_path):
    assert told(demo("--port", 99999, "--data", tmp_path / "data")) == (
        "demo: argument --port: a port is a number from 0 to 65535, not '99999'; see --help."
    )


def test_the_demo_on_the_port_of_another_program(tmp_path):
    page = HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    Thread(target=page.serve_forever, args=(0.01,), daemon=True).start()
    try:
        ended = demo("--port", page.server_port, "--data", tmp_path / "data")
    finally:
        page.shutdown()
        page.server_close()

    assert ended.returncode == 2
    assert f"Cannot listen on 127.0.0.1:{page.server_port}: Address already in use." in ended.stderr
    assert "Traceback" not in ended.stderr


# ── Commands ─────────────────────────────────────────────────────────────────────


def test_redriving_a_folder_that_is_not_there_creates_nothing(tmp_path):
    typo = tmp_path / "typo"

    assert told(redrive(typo)) == (
        f"There are no videos in {typo}; name the folder of the server, as in DATA=.data."
    )
    assert not typo.exists()


def test_redriving_another_folder_changes_nothing_in_it(tmp_path):
    tmp_path.chmod(0o755)

    assert told(redrive(tmp_path)).startswith(f"There are no videos in {tmp_path};")
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert not list(tmp_path.iterdir())


def test_redriving_with_a_broken_database(tmp_path):
    (tmp_path / "videos.db").write_text("Dear Sir or Madam, " * 100)

    assert told(redrive(tmp_path)).startswith("The database is unavailable: file is not a database.")


def test_redriving_in_a_mode_that_is_none():
    assert told(run(*REDRIVE, STORAGE_MODE="s3")) == "STORAGE_MODE is 's3'; use 'aws' or 'local'."


@pytest.mark.parametrize("command", [LOCAL_SERVER, REDRIVE, CHECK_FILES], ids=lambda words: words[-1])
def test_every_program_tells_its_version(command):
    ended = run(*command, "--version")

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "TikToken 0.1.0\n", "")
