"""The check-files command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
FUNCTIONS = Path(__file__).parent.parent / "functions"


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "videos.cli.check_files", *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(FUNCTIONS)} | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def make(*variables: str, cwd: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    """``make check-files``, which neither creates nor updates the virtual environment."""
    command = [
        "make", "--directory", str(cwd), "--makefile", str(PROJECT / "Makefile"),
        "--old-file=.venv/.run-ready", "check-files", f"BIN={Path(sys.executable).parent}", *variables,
    ]  # fmt: skip
    return subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, cwd=PROJECT, check=False
    )


def test_valid_files_exit_with_0(clip):
    ended = run(clip(), clip(codec="libx265"))

    assert ended.returncode == 0
    assert ended.stdout.count("accepted, 720x1280, 30 fps") == 2


def test_one_invalid_file_exits_with_1_and_its_violations(clip):
    ended = run(clip(), clip(size="640x480"))

    assert ended.returncode == 1
    assert "Invalid resolution: 640x480" in ended.stdout
    assert f"ffmpeg -i {clip(size='640x480')}" in ended.stdout
    assert "INPUT" not in ended.stdout


def test_json_output_has_one_report_a_line(clip):
    ended = run("--json", clip(), clip(size="640x480"))

    good, bad = map(json.loads, ended.stdout.splitlines())
    assert (good["accepted"], good["specs"]["width"], good["warnings"]) == (True, 720, [])
    assert (bad["accepted"], bad["violations"][0]["rule"]) == (False, "resolution")


def test_the_limits_come_from_the_service_settings(clip):
    assert "Invalid duration" in run(clip(seconds=2), MAX_DURATION_S="1").stdout


def test_what_would_be_fixed_is_accepted_where_the_service_fixes(clip):
    ended = run(clip(size="640x480"), ON_VIOLATION="fix")

    assert ended.returncode == 0
    assert "  fixed: resolution, 640x480 → 720x1280" in ended.stdout.splitlines()


def test_a_missing_file_exits_with_2(clip):
    ended = run(clip(), "no-such-clip.mp4")

    assert ended.returncode == 2
    assert "no such file: no-such-clip.mp4" in ended.stderr


def test_a_missing_ffprobe_exits_with_2(clip):
    ended = run(clip(), FFPROBE="/no/such/ffprobe")

    assert ended.returncode == 2
    assert "make install" in ended.stderr


def test_an_oversize_file_gets_every_violation(clip, tmp_path):
    large = tmp_path / "large.mp4"
    large.write_bytes(
        clip(size="640x480").read_bytes() + (100_000_000).to_bytes(4) + b"free" + bytes(99_999_992)
    )

    ended = run(large)

    assert "Invalid resolution: 640x480" in ended.stdout
    assert "Invalid file size" in ended.stdout


# ── make check-files ─────────────────────────────────────────────────────────────

ODD_NAMES = [
    "a clip.mp4",
    "$(touch pwned) 'x.mp4",
    "$(shell touch pwned).mp4",
    "`touch pwned`.mp4",
    '"; touch pwned; ".mp4',
    "x'\ntouch pwned #.mp4",
    "-x.mp4",
    "~ * $HOME $$ #.mp4",
]


@pytest.fixture
def workshop(tmp_path, clip) -> Path:
    """A folder to run make in, with what the Makefile needs of the project and no more."""
    (tmp_path / "functions").symlink_to(FUNCTIONS)
    shutil.copy(clip(), tmp_path / "good.mp4")
    return tmp_path


@pytest.mark.parametrize("variable", ["FILE", "VIDEO"])
@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.thorough
def test_make_takes_one_name_with_anything_in_it_and_runs_nothing(workshop, name, variable):
    (workshop / "good.mp4").rename(workshop / name)

    given = make(f"{variable}={name}", cwd=workshop)
    inherited = make(cwd=workshop, **{variable: name})

    for ended in (given, inherited):
        assert f"{name}: accepted" in ended.stdout, ended.stderr
        assert ended.returncode == 0
    assert not list(workshop.rglob("pwned"))


def test_make_takes_names_separated_by_spaces_and_patterns(workshop):
    shutil.copy(workshop / "good.mp4", workshop / "b.mov")

    named, matched = (make(f"FILES={files}", cwd=workshop) for files in ("good.mp4 b.mov", "*.m*"))

    assert named.stdout.count("accepted") == matched.stdout.count("accepted") == 2


@pytest.mark.parametrize(
    "files", ["$(touch pwned)", "$(shell touch pwned)", "`touch pwned`", "a;touch pwned"]
)
def test_make_runs_nothing_that_is_in_a_list_of_names(workshop, files):
    ended = make(f"FILES={files}", cwd=workshop)

    assert "no such file" in ended.stderr
    assert not list(workshop.rglob("pwned"))
