"""Imports point one way, and each outside thing has one home."""

import ast
from pathlib import Path

import pytest

from videos import api, errors

PACKAGE = Path(__file__).parent.parent / "functions" / "videos"

# What each module may import from the package; anything missing here may import nothing.
MAY_IMPORT = {
    "model": {"errors"},
    "ports": {"model"},
    "access": {"errors", "logs"},
    "passes": {"errors", "model"},
    "advice": {"boxes", "model"},
    "rules": {"advice", "errors", "model"},
    "boxes": set(),
    "tools": {"errors", "model"},
    "movie": set(),
    "fragments": {"boxes", "errors", "model", "movie"},
    "stills": {"model"},
    "playlists": {"model"},
    "probe": {"boxes", "errors", "model", "tools"},
    "form": {"errors"},
    "counters": {"model"},
    "service": {"counters", "errors", "logs", "metrics", "model", "ports", "rules", "tools"},
    "steps": {"advice", "errors", "logs", "metrics", "model", "passes", "ports", "probe", "rules", "service"},
    "transcode": {
        "errors",
        "fragments",
        "model",
        "probe",
        "rules",
        "service",
        "steps",
        "stills",
        "tools",
    },
    "health": {"counters", "errors", "service", "tools"},
    "views": {"errors", "model", "passes", "playlists", "ports", "steps"},
    "local": {"counters", "errors", "model", "ports"},
    "aws": {"counters", "errors", "model", "ports"},
    "check": {"errors", "probe", "rules", "views", "wiring"},
    "redrive": {"errors", "model", "service", "steps", "wiring"},
    "wiring": {"access", "aws", "local", "model", "rules", "service", "tools"},
    "logs": set(),
    "metrics": {"counters", "logs"},
    "api": {"access", "errors", "logs"},
}


def imported_by(module: str) -> set[str]:
    """The modules of the package that ``module`` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "videos":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("videos."):
            found.add(node.module.split(".")[1])
    return found


@pytest.mark.parametrize(
    "module", sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")
)
def test_imports_point_one_way(module):
    assert imported_by(module) <= MAY_IMPORT.get(module, set())


@pytest.mark.parametrize(
    ("word", "homes"),
    [
        ("import boto3", {"aws"}),
        ("import sqlite3", {"local"}),
        ("os.environ", {"wiring"}),
        ("import subprocess", {"tools"}),
        ("import jwt", {"access"}),
        ("from http import HTTPStatus", {"api"}),
    ],
)
def test_each_outside_thing_has_one_home(word, homes):
    assert {path.stem for path in PACKAGE.glob("*.py") if word in path.read_text()} == homes


def test_every_error_has_a_status():
    def below(kind):
        return {kind} | {deeper for child in kind.__subclasses__() for deeper in below(child)}

    assert set(api.STATUS_OF) == below(errors.VideoError) - {errors.VideoError}
