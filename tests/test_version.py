"""Which version of the service answers, and which one wrote a line of the log."""

import re
import tomllib
from pathlib import Path

import videos
from videos.steps.check_health import health

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


def test_the_code_and_the_project_have_the_same_version():
    assert videos.__version__ == PROJECT["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", videos.__version__)


def test_health_tells_the_version(local_service):
    assert health(local_service).version == PROJECT["version"]


def test_every_line_of_the_log_and_every_metric_tells_the_version(activity):
    assert any("_aws" in line for line in activity.lines)
    assert {line["service_version"] for line in activity.lines} == {PROJECT["version"]}
