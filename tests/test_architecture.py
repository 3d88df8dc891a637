"""Imports point one way, each outside thing has one home, and the map shows what is there."""

import ast
import re
from pathlib import Path

import pytest

import videos
from videos import errors
from videos.web import api

FUNCTIONS = Path(__file__).parent.parent / "functions"
PACKAGE = FUNCTIONS / "videos"

# May be imported by all.
EVERYBODY = {"__version__", "errors", "fix", "keys", "model", "policy", "quota", "suggestions"}
# What else each room may import. Modules of one room may import each other.
MAY_IMPORT = {
    "handlers": {"ports", "steps", "telemetry", "web", "wiring"},
    "cli": {"checking", "mistakes", "ports", "steps", "telemetry", "web", "wiring"},
    # The local server.
    "local": {"local", "mistakes", "ports", "service", "steps", "stores.local", "telemetry", "web", "wiring"},
    "wiring": {"checking", "making", "service", "steps", "stores", "telemetry", "telling", "tools", "web"},
    "steps": {"checking", "making", "ports", "service", "telemetry", "telling", "tools"},
    "service": {"checking.rules", "ports", "telemetry", "tools"},
    "making": {"checking", "mp4", "tools"},
    "checking": {"mp4", "tools"},
    "telling": {"ports"},
    "web": {"ports", "telemetry.logs"},
    "stores.aws": {"ports", "telemetry.counters"},
    "stores.local": {"ports", "telemetry.counters"},
}
HOMES = {  # of what is found in the package itself
    "import boto3": "stores.aws",
    "import sqlite3": "stores.local",
    "import subprocess": "tools",
    "import jwt": "web.tokens",
    "from standardwebhooks": "telling.signing",
    "os.environ": "wiring",
}
MODULES = sorted(path for path in FUNCTIONS.rglob("*.py") if path.stem != "__init__")


def name_of(path: Path) -> str:
    """``steps.check_upload`` in the package, ``local.…`` of the local server, or ``handlers.…``."""
    if path.is_relative_to(PACKAGE):
        return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return f"{'local' if 'local' in str(path.relative_to(FUNCTIONS)) else 'handlers'}.{path.stem}"


def room_of(name: str) -> str:
    return next((room for room in MAY_IMPORT if within(name, room)), name.partition(".")[0])


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def imported_by(path: Path) -> set[str]:
    """The modules of the package that a module imports: ``steps.check_upload``, ``errors``…"""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "videos":
            package = node.module.partition(".")[2]
            for alias in node.names:
                full = f"{package}.{alias.name}" if package else alias.name
                is_module = (PACKAGE / Path(*full.split("."))).with_suffix(".py").exists()
                found.add(full if is_module or not package else package)
    return found


@pytest.mark.parametrize("path", MODULES, ids=map(name_of, MODULES))
def test_imports_point_one_way(path):
    room = room_of(name_of(path))
    allowed = {room} | MAY_IMPORT.get(room, set()) | EVERYBODY

    astray = {name for name in imported_by(path) if not any(within(name, one) for one in allowed)}

    assert astray == set()


@pytest.mark.parametrize(("word", "home"), HOMES.items())
def test_each_outside_thing_has_one_home(word, home):
    users = {name_of(path) for path in MODULES if path.is_relative_to(PACKAGE) and word in path.read_text()}

    assert users
    assert {name for name in users if not within(name, home)} == set()


def test_the_map_of_the_package_shows_what_is_there():
    there = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}

    assert set(re.findall(r"^    (\w+) {2,}", videos.__doc__, re.MULTILINE)) == there


def test_steps_are_imported_from_their_modules():
    _, *exported = ast.parse((PACKAGE / "steps" / "__init__.py").read_text()).body

    assert not exported


@pytest.mark.parametrize("path", MODULES, ids=map(name_of, MODULES))
def test_no_module_is_too_long_to_read(path):
    assert len(path.read_text().splitlines()) <= 350


def test_every_error_has_a_status():
    def below(kind):
        return {kind} | {deeper for child in kind.__subclasses__() for deeper in below(child)}

    assert set(api.STATUS_OF) == below(errors.VideoError) - {errors.VideoError}


# ── Between the folders ──────────────────────────────────────────────────────────

TESTS = Path(__file__).parent
PROJECT = TESTS.parent


def roots_imported_by(path: Path) -> set[str]:
    """The first word of everything that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide what is imported"
            assert node.module
            found.add(node.module.partition(".")[0])
    return found


def files_that_import(forbidden: set[str], folder: str) -> dict[str, set[str]]:
    paths = sorted((PROJECT / folder).rglob("*.py"))
    assert paths
    found = {str(path.relative_to(PROJECT)): roots_imported_by(path) & forbidden for path in paths}
    return {path: names for path, names in found.items() if names}


def test_test_modules_are_imported_by_nothing():
    modules = {path.stem for path in TESTS.glob("*.py")} | {"tests"}

    assert {"conftest", "test_architecture"} <= modules
    assert files_that_import(modules, "tests") == {}
    assert files_that_import(modules | {"support"}, "dev") == {}
    assert files_that_import(modules | {"support"}, "functions") == {}


def test_functions_do_not_import_the_programs_of_developers():
    assert files_that_import({"dev"}, "functions") == {}
