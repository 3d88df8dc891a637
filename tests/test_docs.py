"""The documentation: no dead link in it, and it agrees with the code, the Makefile and the template."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from videos import wiring
from videos.checking.rules import RULES, SPEC
from videos.model import State, Video
from videos.web import api, views
from videos.web.api import STATUS_OF

PROJECT = Path(__file__).parent.parent
FUNCTIONS = PROJECT / "functions"
PAPERS = {
    str(path.relative_to(PROJECT)): path.read_text()
    for path in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md")]
}
README, CONTRIBUTING = PAPERS["README.md"], PAPERS["CONTRIBUTING.md"]
API, RUNBOOK = PAPERS["docs/api.md"], PAPERS["docs/operations.md"]
TEMPLATE = (PROJECT / "template.yaml").read_text()
ALARMS = re.findall(r"^  (\w+):.*\n    Type: AWS::CloudWatch::Alarm$", TEMPLATE, re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`([^`]+)`")
TREES = ("functions/", "dev/", "tests/", "docs/", "layers/", "events/", "clients/", ".ci/")


def prose(paper: str) -> str:
    """A paper without its fenced blocks."""
    return FENCE.sub("", PAPERS[paper])


def anchors(paper: str) -> set[str]:
    """Every anchor that a link may have: each heading, as GitHub spells it."""
    headings = re.findall(r"^#+ (.+)$", prose(paper), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[str, str]]:
    """(paper, target) of every relative link."""
    for paper in PAPERS:
        text = re.sub(CODE_SPAN, "", prose(paper))
        found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
        yield from ((paper, target) for target in found if "://" not in target)


def code_spans(*papers: str) -> Iterator[tuple[str, str]]:
    for paper in papers or PAPERS:
        yield from ((paper, span) for span in CODE_SPAN.findall(prose(paper)))


def resolves(paper: str, target: str) -> bool:
    path, _, anchor = target.partition("#")
    linked = (PROJECT / paper).parent / path if path else PROJECT / paper
    if not linked.exists():
        return False
    return not anchor or anchor in anchors(os.path.relpath(linked, PROJECT))


def test_the_readme_has_at_most_150_lines():
    assert len(README.splitlines()) <= 150


def test_the_picture_of_the_readme_is_below_200_kb():
    assert "](docs/page.png)" in README
    assert (PROJECT / "docs" / "page.png").stat().st_size < 200_000


def test_no_line_exceeds_120_characters():
    assert [
        f"{paper}:{number}"
        for paper, text in PAPERS.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > 120
    ] == []


def test_every_link_resolves():
    assert len(list(links())) > 50
    assert [f"{paper}: {target}" for paper, target in links() if not resolves(paper, target)] == []


def test_every_reference_is_defined_and_every_definition_used():
    for paper in PAPERS:
        text = re.sub(CODE_SPAN, "", prose(paper))
        used = set(re.findall(r"\]\[([^\]]+)\]", text))
        assert used == set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE)), paper


def test_every_path_that_is_named_exists():
    named = [(paper, span) for paper, span in code_spans() if span.startswith(TREES)]

    assert len(named) > 50
    assert [f"{paper}: {path}" for paper, path in named if not (PROJECT / path).exists()] == []


def test_every_name_in_backticks_is_used_in_the_project():
    """Wire fields, settings, parameters, states, constants: rename one in the code, and rename it here."""
    files = [
        *(path for folder in ("functions", "dev", "tests") for path in (PROJECT / folder).rglob("*.py")),
        *(path for path in PROJECT.iterdir() if path.suffix in (".yaml", ".toml") or path.name == "Makefile"),
        *(PROJECT / "clients").glob("*/*.js"),
        PROJECT / ".ci" / "run",
    ]
    words = {
        word for path in files if path != Path(__file__) for word in re.findall(r"\w+", path.read_text())
    }
    today = [paper for paper in PAPERS if paper != "CHANGELOG.md"]
    spans = {span.partition("=")[0] for _, span in code_spans(*today)}
    names = {span for span in spans if re.fullmatch(r"[A-Za-z]+_\w+|[A-Z][a-z]+[A-Z]\w+", span)}

    assert len(names) > 50
    assert names - words - {"LOCALSTACK_AUTH_TOKEN"} == set()  # LocalStack's own


def test_every_make_target_that_is_named_exists():
    targets = [
        target
        for paper, text in PAPERS.items()
        for code in [*FENCE.findall(text), *(span for _, span in code_spans(paper))]
        for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", code)
    ]

    assert len(targets) > 50
    assert set(targets) - TARGETS == set()


def test_contributing_explains_every_make_target():
    assert {target for target in TARGETS if f"| `make {target}` |" not in CONTRIBUTING} == {"help"}


def test_contributing_explains_every_marker():
    options = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    markers = [marker.partition(":")[0] for marker in options["markers"]]

    assert [marker for marker in markers if f"| `{marker}` |" not in CONTRIBUTING] == []


@pytest.mark.parametrize("alarm", ALARMS)
def test_every_alarm_has_its_page_in_the_runbook(alarm):
    assert f"\n### {alarm}\n" in RUNBOOK


def test_every_alarm_description_links_to_the_runbook():
    targets = re.findall(r"^      AlarmDescription: .* See (\S+)$", TEMPLATE, re.MULTILINE)

    assert len(targets) == len(ALARMS) > 5
    assert [target for target in targets if not resolves("README.md", target)] == []


def test_every_message_that_the_runbook_searches_for_is_logged():
    searched = re.findall(r'grep "([^"]+)"|\$\.message = "([^"]+)"', RUNBOOK)
    texts = {text.value for path in FUNCTIONS.rglob("*.py") for text in strings(ast.parse(path.read_text()))}

    assert len(searched) > 2
    assert {one or other for one, other in searched} - texts == set()


def test_every_decision_has_its_date_its_reason_and_when_to_reconsider_it():
    _, *decisions = re.split(r"^### ", prose("docs/decisions.md"), flags=re.MULTILINE)
    parts = (
        r"\n\*20\d\d-\d\d-\d\d[^\n]*\*\n",
        r"\n- \*\*Decision\.",
        r"\n- \*\*Why\.",
        r"\n- \*\*Revisit when\*\*",
    )

    assert len(decisions) > 15
    assert [
        text.splitlines()[0] for text in decisions if not all(re.search(part, text) for part in parts)
    ] == []


def test_the_table_of_rules_has_every_rule_with_its_limit():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAPERS["docs/media.md"], re.MULTILINE))
    rate, duration = f"{SPEC.min_frame_rate} to {SPEC.max_frame_rate:g} fps", f"{SPEC.max_duration_s:g} s"

    assert set(rows) == set(RULES)
    assert rows["size"].startswith(f"1 to {SPEC.max_bytes:,} bytes")
    assert f"{SPEC.width_px}x{SPEC.height_px}" in rows["resolution"]
    assert rows["frame_rate"].startswith(f"{rate}, ±{SPEC.frame_rate_slack} ")
    assert f"{SPEC.max_odd_gap_share * 100:g} %" in rows["frame_rate"]
    assert rows["duration"].startswith(f"{duration}, and {SPEC.duration_slack_s} s ")


def test_every_room_is_in_the_tree_and_in_the_list():
    videos = FUNCTIONS / "videos"
    rooms = {path.parent.relative_to(videos).as_posix() for path in videos.rglob("*.py")} - {".", "stores"}
    [tree] = [fence for fence in FENCE.findall(README) if "template.yaml" in fence]

    assert {room for room in rooms if f"── {room.partition('/')[0]}/ " not in tree} == set()
    listed = PAPERS["docs/architecture.md"]
    assert {room for room in rooms if f"| `functions/videos/{room}/` |" not in listed} == set()


def test_every_handler_is_in_the_tree():
    [tree] = [fence for fence in FENCE.findall(README) if "template.yaml" in fence]

    assert {path.name for path in FUNCTIONS.glob("*.py") if f"── {path.name} " not in tree} == set()


def test_every_parameter_is_documented_with_its_default():
    _, _, rest = TEMPLATE.partition("\nParameters:\n")
    parameters = dict(
        re.findall(
            r'^  (\w+):\n(?:    .*\n)*?    Default: "?([^"\n]*)"?$',
            rest.partition("\nConditions:\n")[0],
            re.M,
        )
    )
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]+)`? \|", PAPERS["docs/deploy.md"], re.MULTILINE))

    assert len(parameters) > 10
    assert {name: rows.get(name, "no row").strip().partition(":")[0] for name in parameters} == {
        name: default or "empty" for name, default in parameters.items()
    }


def test_every_variable_is_documented():
    described = f"{wiring.make_service.__doc__} {wiring.http_settings.__doc__}"
    variables = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bFF[A-Z]+\b", described))

    assert len(variables) > 10
    assert variables - {span for _, span in code_spans("docs/deploy.md")} == set()


# ── Errors ───────────────────────────────────────────────────────────────────────


def documented() -> dict[str, int]:
    """The HTTP status of each code in the table of error codes."""
    [table] = re.findall(r"<!-- error codes, begin.*?-->\n(.*)<!-- error codes, end", API, re.DOTALL)
    return {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)}


def ended(state: State) -> Video:
    at = datetime(2026, 11, 26, tzinfo=UTC)
    return Video(
        id="a",
        filename="a",
        content_type="a",
        created_at=at,
        updated_at=at,
        upload_expires_at=at,
        state=state,
    )


def test_the_table_of_error_codes_is_what_make_docs_writes():
    checked = subprocess.run(
        [sys.executable, "-m", "dev.document_errors", "--check"],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(FUNCTIONS)},
        check=False,
    )

    assert checked.returncode == 0, "make docs"


def test_the_table_holds_every_code_of_the_service_and_no_other():
    in_a_status = {views.ending(ended(state)).code for state in (State.FAILED, State.EXPIRED)}
    raised = {error.code for error in STATUS_OF}

    assert set(documented()) == raised | in_a_status | {api.internal_error()["code"]}


def test_the_table_has_the_status_of_each_code():
    status = documented()

    assert (status["token_missing"], status["unknown_video"], status["video_refused"]) == (401, 404, 422)
    assert (status["quota_exceeded"], status["internal_error"], status["upload_expired"]) == (429, 500, 200)


def test_api_gateway_answers_with_codes_of_the_table():
    codes = re.findall(r"application/json: '.*\"code\": \"(\w+)\"}'", TEMPLATE)

    assert len(codes) > 3
    assert set(codes) <= set(documented())


def test_no_error_refers_to_the_readme():
    """An app developer who reads an error has no README. Docstrings and comments are for other readers."""
    texts = [
        f"{path.relative_to(PROJECT)}:{text.lineno}"
        for path in FUNCTIONS.rglob("*.py")
        for text in strings(ast.parse(path.read_text()))
        if "README" in text.value
    ]

    assert texts == []
    assert [line for line in TEMPLATE.splitlines() if "application/json:" in line and "README" in line] == []


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every string but docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node
