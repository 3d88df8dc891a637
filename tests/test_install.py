"""What is installed: few packages to run the service, wheels only, on every machine that the README names."""

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from dev.server import free_port

PROJECT = Path(__file__).parent.parent
MAKEFILE = (PROJECT / "Makefile").read_text()
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
LINUX = ["x86_64-manylinux_2_28", "aarch64-manylinux_2_28"]
MACS = ["aarch64-apple-darwin", "x86_64-apple-darwin"]
MACHINES = [
    *(("run", machine) for machine in (*LINUX, *MACS)),
    *((lock, machine) for lock in ("tokens", "dev") for machine in (*LINUX, MACS[0])),
]
SDISTS = {
    venv: names.split(",") for venv, names in re.findall(r"^SDISTS_(\w+) := (\S+)$", MAKEFILE, re.MULTILINE)
}


def resolve(lock: Path, machine: str, python: str) -> subprocess.CompletedProcess[str]:
    """Look for a wheel of each package in a lock; nothing is installed."""
    nowhere = Path(tempfile.gettempdir()) / "nowhere"  # uv makes it, with a lock file
    command = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--no-deps", "--no-build"]
    command += ["--target", str(nowhere), "--python-platform", machine, "--python-version", python]
    command += ["--quiet", "--system-certs", "--require-hashes", "--requirement", str(lock)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pins(lock: Path) -> dict[str, str]:
    """The lines of each package in a lock, by its name."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)
    return {re.split(r"[\[=]", block)[0]: block for block in blocks if "==" in block}


@pytest.mark.thorough
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(("lock", "machine"), MACHINES)
def test_every_package_has_a_wheel(lock, machine, python):
    resolved = resolve(PROJECT / f"requirements-{lock}.txt", machine, python)

    assert resolved.returncode == 0, resolved.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("lock", ["aws", "bench", "emulator", "localstack", "scan", "build"])
def test_only_the_named_packages_of_the_tools_have_no_wheel(lock, tmp_path):
    packages = pins(PROJECT / f"requirements-{lock}.txt")
    without = SDISTS.get(lock, [])
    wheels = tmp_path / "wheels.txt"
    wheels.write_text("".join(block for name, block in packages.items() if name not in without))

    assert set(without) <= set(packages)
    assert resolve(wheels, LINUX[0], "3.13").returncode == 0
    for name in without:
        (tmp_path / "source.txt").write_text(packages[name])
        assert "no usable wheels" in resolve(tmp_path / "source.txt", LINUX[0], "3.13").stderr


def test_every_install_takes_wheels_checks_hashes_and_shows_itself():
    [options] = re.findall(r"pip install\b(.*)", MAKEFILE)  # all targets share them

    assert "--require-hashes --only-binary :all:" in options
    assert "--quiet" not in options


def test_what_runs_the_service_is_locked_at_the_versions_that_are_tested():
    def versions(lock: str) -> set[str]:
        return {
            f"{name}=={block.split()[0].partition('==')[2]}" for name, block in pins(PROJECT / lock).items()
        }

    assert versions("requirements-run.txt") <= versions("requirements-dev.txt")
    assert versions("requirements-tokens.txt") <= versions("functions/requirements.txt")
    assert versions("functions/requirements.txt") <= versions("requirements-dev.txt")


# ── A venv with what runs the service, and no more ───────────────────────────────


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("install") / ".venv"
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    subprocess.run([*command, "--requirement", PROJECT / "requirements-run.txt"], check=True)
    return folder / "bin" / "python"


def run(python: Path, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Without a PATH, so that no ffmpeg of this machine helps, and without this project's settings."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "TMPDIR")}
    kept |= {"PYTHONPATH": "functions", "ONCE": "1"}
    return subprocess.run(
        [python, *map(str, command)],
        env=kept | environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough
def test_it_is_small(python):
    packages = [path.name for path in python.parent.parent.rglob("*.dist-info")]
    size_bytes = sum(path.lstat().st_size for path in python.parent.parent.rglob("*"))

    assert len(packages) <= 20 + 2  # pip, and on Python 3.11 setuptools, come with every venv
    assert size_bytes <= 350_000_000


@pytest.mark.thorough
@pytest.mark.parametrize("package", ["boto3", "botocore", "jwt", "cryptography", "httpx"])
def test_local_mode_is_without(package, python):
    assert "ModuleNotFoundError" in run(python, "-c", f"import {package}").stderr


@pytest.mark.thorough
def test_the_demo_runs_on_it(python, tmp_path):
    ended = run(python, "-m", "dev.demo", "--port", free_port(), "--data", tmp_path / "data")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert '"state": "completed"' in ended.stdout


@pytest.mark.thorough
def test_tokens_without_pyjwt_say_what_to_install(python, tmp_path):
    tokens = {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "app"}
    server = ("functions/local_server.py", "--port", 0, "--data", tmp_path / "data")

    ended = run(python, *server, **tokens)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "JWT_ISSUER is set, and PyJWT, which verifies tokens, is not installed: "
        "pip install --require-hashes --only-binary :all: -r requirements-tokens.txt\n"
    )
