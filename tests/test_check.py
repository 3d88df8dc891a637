"""The check of files on a disk, as a command."""

import json
import os
import subprocess
import sys
from pathlib import Path

FUNCTIONS = Path(__file__).parent.parent / "functions"


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "videos.check", *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(FUNCTIONS)} | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_good_files_end_well(clip):
    ended = run(clip(), clip(codec="libx265"))

    assert ended.returncode == 0
    assert ended.stdout.count("accepted, 720x1280, 30 fps") == 2


def test_one_bad_file_among_good_ones_ends_with_1_and_its_reasons(clip):
    ended = run(clip(), clip(size="640x480"))

    assert ended.returncode == 1
    assert "Invalid resolution: 640x480" in ended.stdout
    assert f"ffmpeg -i {clip(size='640x480')}" in ended.stdout
    assert "INPUT" not in ended.stdout


def test_the_report_is_there_for_programs(clip):
    ended = run("--json", clip(), clip(size="640x480"))

    good, bad = map(json.loads, ended.stdout.splitlines())
    assert (good["accepted"], good["specs"]["width"], good["warnings"]) == (True, 720, [])
    assert (bad["accepted"], bad["violations"][0]["rule"]) == (False, "resolution")


def test_the_limits_are_the_service_s_own(clip):
    assert "Invalid duration" in run(clip(seconds=2), MAX_DURATION_S="1").stdout


def test_a_missing_file_is_no_refusal(clip):
    ended = run(clip(), "no-such-clip.mp4")

    assert ended.returncode == 2
    assert "no such file: no-such-clip.mp4" in ended.stderr


def test_a_missing_ffprobe_is_no_refusal(clip):
    ended = run(clip(), FFPROBE="/no/such/ffprobe")

    assert ended.returncode == 2
    assert "make install" in ended.stderr


def test_a_file_far_over_the_limit_is_told_every_reason_without_being_read_whole(clip, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(
        clip(size="640x480").read_bytes() + (100_000_000).to_bytes(4) + b"free" + bytes(99_999_992)
    )

    ended = run(large)

    assert "Invalid resolution: 640x480" in ended.stdout
    assert "Invalid file size" in ended.stdout
