"""What starting a function costs: import and first answer, from what ``make build`` built, in CPU time.

Beside it start ``typical_function``, with the packages of requirements-bench.txt, and ``least_function``,
with those of ours that stay. Each start is a process of its own on Python 3.13, isolated from everything but
the function's own folder, which is a copy and stays as it is. AWS is ``stub_aws``, outside of that process.
"""

import json
import re
import shutil
import statistics
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.table import Table

from dev.clips import make_clip
from dev.measure import Budget, NotMeasured, new_table, screen, spread
from dev.stub_aws import StubAws, stub_aws
from videos.model import State, StoredObject, Video
from videos.stores.aws.items import item_of

PROJECT = Path(__file__).parent.parent
BUILD = PROJECT / ".aws-sam" / "build"
LAYER = BUILD / "MediaToolsLayer"
TYPICAL_VENV = PROJECT / ".venv-bench"
MODULES = (
    "request_upload",
    "check_upload",
    "transcode_video",
    "read_video",
    "recover_videos",
    "check_health",
)
TYPICAL, LEAST = "typical_function", "least_function"
VIDEO_ID = "0192d3a4-5b6c-7d8e-9f01-23456789abcd"  # whom the sample events are about
WITH, WITHOUT = "with .pyc", "without .pyc"
DEAREST = 10  # packages to show
# Runs in the process that is measured. time.process_time counts from its start, and no media tool.
START = """
import sys
sys.path.insert(0, sys.argv[1])
import importlib, json, os, time
class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "bench"
handler = importlib.import_module(sys.argv[2]).handler
imported_s = time.process_time()
answer = handler(json.loads(sys.argv[3]), Context())
answered_s = time.process_time()
assert (answer or {}).get("statusCode", 200) in (200, 201), answer
print("\\n" + json.dumps([imported_s, answered_s]), flush=True)
os._exit(0)
"""


@dataclass
class Starts:
    """CPU milliseconds of each start, by state and module, from the process's own start.

    Attributes:
        imported_ms: until the module was imported.
        answered_ms: until it had answered.
        packages_ms: of each module, what its top-level packages cost to import, each without those that it
            imports itself.
    """

    imported_ms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    answered_ms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    packages_ms: dict[str, dict[str, float]] = field(default_factory=dict)


def measure(rounds: int) -> Starts:
    """Every module in turn, round by round. Raises NotMeasured if something is not built."""
    python = _python()
    found = Starts()
    with tempfile.TemporaryDirectory(prefix="bench-starts-") as name, stub_aws() as aws:
        folder = Path(name)
        clip = make_clip(folder / "clip.mp4").read_bytes()
        for state in (WITH, WITHOUT):
            folders = {
                module: _copy(module, folder / state, state, python) for module in (*MODULES, LEAST, TYPICAL)
            }
            imported = found.imported_ms[state] = {module: [] for module in folders}
            answered = found.answered_ms[state] = {module: [] for module in folders}
            for number in range(1, rounds + 1):
                for module, where in folders.items():
                    with screen.status(f"round {number} of {rounds}: start of {module}, {state}"):
                        told, _ = _start(python, where, module, aws, clip)
                    imported[module].append(told[0])
                    answered[module].append(told[1])
            if state == WITH:
                found.packages_ms = {
                    module: _packages(_start(python, where, module, aws, clip, "-X", "importtime")[1])
                    for module, where in folders.items()
                }
            shutil.rmtree(folder / state)
    return found


def _python() -> str:
    """The interpreter that the functions run on, without a virtual environment around it."""
    if not LAYER.exists():
        raise NotMeasured("Nothing is built: make build.")
    if not (python := TYPICAL_VENV / "bin" / "python").exists():
        raise NotMeasured("There is no typical stack to compare with: make .venv-bench/.ready.")
    return subprocess.check_output(
        [python, "-I", "-c", "import sys; print(sys._base_executable)"], text=True
    ).strip()


def _copy(module: str, to: Path, state: str, python: str) -> Path:
    """The folder that a module is started from."""
    folder = to / module
    unwanted = shutil.ignore_patterns("__pycache__") if state == WITHOUT else None
    if module in MODULES:
        return shutil.copytree(BUILD / module.title().replace("_", ""), folder, ignore=unwanted)
    if module == LEAST:
        shutil.copytree(BUILD / "ReadVideo", folder, ignore=unwanted)
    else:
        [packages] = TYPICAL_VENV.glob("lib/python3.13/site-packages")
        shutil.copytree(packages, folder, ignore=shutil.ignore_patterns("pip", "__pycache__"))
    shutil.copy(PROJECT / "dev" / f"{module}.py", folder)
    if state == WITH:  # as `make build` does
        compiling = [
            "-m",
            "compileall",
            "-q",
            "-j",
            "0",
            "--invalidation-mode",
            "unchecked-hash",
            str(folder),
        ]
        subprocess.run([python, "-W", "ignore", *compiling], check=True)
    return folder


def _start(
    python: str, folder: Path, module: str, aws: StubAws, clip: bytes, *options: str
) -> tuple[list[float], str]:
    """Milliseconds until it was imported and until it had answered; and its standard error."""
    prepare(aws, module if module in MODULES else "read_video", clip)
    environment = {
        **aws.environment,
        "PATH": str(LAYER / "bin"),
        "LD_LIBRARY_PATH": str(LAYER / "lib"),
        "MAGIC": str(LAYER / "share" / "magic.mgc"),
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "LAMBDA_TASK_ROOT": str(folder),
        "POWERTOOLS_SERVICE_NAME": "bench",
    }
    event = sample_event(module if module in MODULES else "read_video")
    # -B: as on Lambda, where the folder is read-only, nothing is compiled for the next start.
    ended = subprocess.run(
        [python, "-I", "-B", *options, "-c", START, str(folder), module, event],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise NotMeasured(f"{module} did not start: {ended.stderr[-500:]}")
    return [seconds * 1000 for seconds in json.loads(ended.stdout.splitlines()[-1])], ended.stderr


def sample_event(module: str) -> str:
    """The sample event of a handler, as JSON."""
    return json.dumps(json.loads((PROJECT / "events" / f"{module}.json").read_text()))


def prepare(aws: StubAws, module: str, clip: bytes) -> None:
    """Table and bucket as the sample event of a module expects them."""
    now = datetime.now(UTC)
    uploaded = Video(
        id=VIDEO_ID,
        filename="cat.mp4",
        content_type="video/mp4",
        created_at=now,
        updated_at=now,
        upload_expires_at=now + timedelta(hours=1),
        version=1,
        recover_at=now,
    )
    source = StoredObject(key=f"sources/{VIDEO_ID}/a/source", size_bytes=len(clip), etag="e", stored_at=now)
    queued = uploaded.to(State.QUEUED, at=now, recover_at=now, source=source)
    states = {
        "check_upload": uploaded,
        "read_video": queued,
        # A spare job, which looks for leftovers: an encode would not be its own CPU time.
        "transcode_video": queued.to(State.PROCESSING, at=now, recover_at=now).to(State.COMPLETED, at=now),
    }
    aws.items = {VIDEO_ID: item_of(states[module])} if module in states else {}
    aws.objects = {f"uploads/{VIDEO_ID}": clip}


def _packages(importtime: str) -> dict[str, float]:
    """Milliseconds by top-level package, the dearest first, of what ``-X importtime`` printed."""
    cost: Counter[str] = Counter()
    for self_us, name in re.findall(r"^import time: +(\d+) \| +\d+ \| *([\w.]+)$", importtime, re.MULTILINE):
        cost[name.partition(".")[0]] += int(self_us)
    return {name: us / 1000 for name, us in cost.most_common()}


# ── Budgets and tables ───────────────────────────────────────────────────────────


def budgets(found: Starts) -> list[Budget]:
    """The slowest of ours as it is built, which is with .pyc."""
    answered_ms = found.answered_ms[WITH]
    slowest_ms = [max(round_) for round_ in zip(*(answered_ms[module] for module in MODULES), strict=True)]

    def ratios(module: str) -> list[float]:
        other_ms = statistics.median(answered_ms[module])
        return [ms / other_ms for ms in slowest_ms]

    return [
        Budget("slowest start ÷ typical stack", 0.9, "×", ratios(TYPICAL)),
        Budget("slowest start ÷ boto3 and the resolver alone", 1.6, "×", ratios(LEAST)),
    ]


def tables(found: Starts) -> Iterator[Table]:
    table = new_table(
        "Start of a function: CPU, ms", "", "import", "and first answer", "÷ typical", WITHOUT, "÷ typical"
    )
    typical_ms = {state: statistics.median(found.answered_ms[state][TYPICAL]) for state in (WITH, WITHOUT)}
    for module in (*MODULES, LEAST, TYPICAL):
        answered = {state: found.answered_ms[state][module] for state in (WITH, WITHOUT)}
        table.add_row(
            module,
            spread(found.imported_ms[WITH][module]),
            spread(answered[WITH]),
            f"{statistics.median(answered[WITH]) / typical_ms[WITH]:.2f}",
            spread(answered[WITHOUT]),
            f"{statistics.median(answered[WITHOUT]) / typical_ms[WITHOUT]:.2f}",
        )
    yield table
    dearest = new_table("What its imports cost: ms, the dearest packages", "", "all")
    dearest.add_column("of which")
    for module, packages in found.packages_ms.items():
        named = [f"{name} {ms:.0f}" for name, ms in list(packages.items())[:DEAREST]]
        dearest.add_row(module, f"{sum(packages.values()):.0f}", ", ".join(named))
    yield dearest
