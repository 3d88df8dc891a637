"""What we run on is pinned and looked up, and nothing is waived without a reason."""

import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from dev import supply_chain

PROJECT = Path(__file__).parent.parent
LOCKS = [
    *PROJECT.glob("requirements-*.txt"),
    *PROJECT.glob("*/requirements.txt"),
    *PROJECT.glob("layers/*/*.txt"),
]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_package_is_pinned_by_version_and_hash(lock):
    blocks = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", lock.read_text()).strip())

    assert blocks
    assert [
        block
        for block in blocks
        if not re.match(r"[\w.\[\]-]+==\S+.*--hash=sha256:[0-9a-f]{64}", block, re.S)
    ] == []


def test_the_layer_has_the_versions_that_the_tests_use():
    def pins(file: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / file).read_text(), re.MULTILINE))

    assert pins("layers/media_tools/requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_every_waiver_has_its_reason_on_its_line():
    beside = re.findall(r"checkov:skip=(\w+)(.*)", (PROJECT / "template.yaml").read_text())
    for_all = re.findall(r"^  - (CKV\w+)(.*)", (PROJECT / ".checkov.yaml").read_text(), re.MULTILINE)

    assert beside
    assert for_all
    assert [check for check, reason in beside if not re.match(r":\w.{10,}", reason)] == []
    assert [check for check, reason in for_all if not re.match(r" +# \w.{10,}", reason)] == []


@pytest.fixture
def pip_audit(monkeypatch):
    """``pip_audit(printed, said)``: what it writes to standard output and standard error."""

    def answer(printed: object = None, said: str = "") -> None:
        ended = CompletedProcess([], 1, json.dumps(printed) if printed else "", said)
        monkeypatch.setattr(supply_chain.subprocess, "run", lambda *_, **__: ended)

    return answer


def package(**facts):
    return {"name": "urllib3", "version": "2.8.0", "vulns": []} | facts


def test_a_known_vulnerability_fails(pip_audit):
    pip_audit({"dependencies": [package(vulns=[{"id": "PYSEC-1", "fix_versions": ["9.9"]}])]})

    with pytest.raises(SystemExit, match=r"urllib3 2\.8\.0: PYSEC-1, mended in 9\.9"):
        supply_chain.audit()


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        (None, "requests.exceptions.ConnectionError: Failed to resolve 'api.osv.dev'"),
        (
            {"dependencies": [{"name": "urllib3", "skip_reason": "not found"}]},
            "",
        ),  # a mirror of packages only
    ],
)
def test_where_nothing_can_be_looked_up_it_says_so(printed, said, pip_audit, capsys):
    pip_audit(printed, said)

    supply_chain.audit()

    assert capsys.readouterr().out.startswith("SKIPPED: pip-audit")


def test_what_was_looked_up_is_counted(pip_audit, capsys):
    pip_audit({"dependencies": [package(), package(name="six")]})

    supply_chain.audit()

    assert capsys.readouterr().out == "pip-audit: 2 packages without a known vulnerability\n"


def test_an_audit_that_breaks_is_no_pass(pip_audit):
    pip_audit(None, "ERROR: no such option")

    with pytest.raises(SystemExit, match="no such option"):
        supply_chain.audit()
