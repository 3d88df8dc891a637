"""What memory and processor do for the functions, and what a thousand videos or answers cost at each setting.

    make sweep                                                every clip at every size: half an hour
    make sweep SWEEP_OPTIONS="--seconds 15 --sizes 1769 3008"

What ``make build`` built runs in Lambda's image under Docker's limits, with as much of a processor as Lambda
gives for the memory. Checks and transcodes use the local adapters: what S3, DynamoDB and SQS take is left
out. The API's functions ask ``stub_aws``, which answers at once. On Lambda, what is imported does not wait
for the memory's share: a function starts with a whole processor.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from dev.clips import make_clip
from dev.cold_start import prepare, sample_event
from dev.measure import NotMeasured, new_table, run_program, screen
from dev.stub_aws import StubAws, stub_aws

# List prices of us-east-1, US dollars: https://aws.amazon.com/lambda/pricing/, June 2025.
USD_A_GB_S = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
USD_A_REQUEST = 0.20 / 1_000_000
MB_A_PROCESSOR = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html, June 2025
VIDEOS = 1000

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
BUILD = Path(__file__).parent.parent / ".aws-sam" / "build"
SIZES_MB = (885, 1769, 3008, 3538)  # half a processor to two; 3008 is what new accounts may have at most
SECONDS = (5, 15, 30, 60)
# As long and nearly as big as allowed at 60 s; shorter clips at the rate of a phone's editor.
BIT_RATES = {5: "2500k", 15: "2500k", 30: "1400k", 60: "690k"}
STEPS = ("check", "transcode")
KILLED = 137  # by Docker, at the memory limit
RUN = """
import json, os, resource, sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from videos.model import Video
from videos.steps.check_upload import check_upload
from videos.steps.transcode_video import transcode_video
from videos.wiring import make_service
clip, rounds = Path(sys.argv[1]), int(sys.argv[2])
service = make_service({**os.environ, "STORAGE_MODE": "local", "LOCAL_FOLDER": "/tmp/data"})
for number in range(rounds):
    now = datetime.now(UTC)
    video = service.videos.add(Video(
        id=f"v{number}", filename="a.mp4", content_type="video/mp4",
        created_at=now, updated_at=now, upload_expires_at=now + timedelta(hours=1),
    ))
    service.storage.save(clip, video.inbox_key, content_type="video/mp4")
    for step, take in {"check": check_upload, "transcode": transcode_video}.items():
        if step not in sys.argv[3:]:
            continue
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        own = time.process_time()
        video = take(video.id, service)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = time.process_time() - own + sum(after[:2]) - sum(before[:2])
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + after.ru_maxrss
        wall_s = time.perf_counter() - began
        print(json.dumps([step, video.state, wall_s, cpu_s, peak_kb * 1024 / 1e6]), flush=True)
"""


API_SIZES_MB = (256, 512, 1024, 1769)
API_MODULES = ("request_upload", "read_video", "check_health", "recover_videos")
ANSWERS = 20  # after the first
ANSWER = """
import time
began = time.perf_counter()
import importlib, json, statistics, sys
class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "sweep"
handler = importlib.import_module(sys.argv[1]).handler
event, marks = json.loads(sys.argv[2]), [began, time.perf_counter()]
for _ in range(int(sys.argv[3]) + 1):
    handler(event, Context())
    marks.append(time.perf_counter())
imported, first, *others = [later - earlier for earlier, later in zip(marks, marks[1:])]
print("\\n" + json.dumps([imported, first, statistics.median(others)]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Answering:
    """An API function at one size, in wall seconds: import, first answer, and the median of others."""

    module: str
    size_mb: int
    import_s: float
    first_s: float
    warm_s: float


@dataclass(frozen=True, slots=True)
class Setting:
    """One step at one clip and size; ``peak_mb`` is our process and its largest tool. None: it was killed."""

    step: str
    clip_s: int
    size_mb: int
    wall_s: float | None
    cpu_s: float | None
    peak_mb: float | None

    def cost_usd(self, processor: str) -> float | None:
        """Of ``VIDEOS`` such videos."""
        if self.wall_s is None:
            return None
        return VIDEOS * (self.wall_s * self.size_mb / 1024 * USD_A_GB_S[processor] + USD_A_REQUEST)


def main() -> int:
    arguments = _arguments()
    found: list[Setting] = []
    answering: list[Answering] = []
    if "api" in arguments.steps:
        with stub_aws() as aws:
            for module in API_MODULES:
                for size_mb in API_SIZES_MB:
                    with screen.status(f"{module} at {size_mb} MB"):
                        answering.append(_measure_answers(module, size_mb, aws))
        screen.print(_answers_table(answering))
    steps = [step for step in STEPS if step in arguments.steps]
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        Path(name).chmod(0o755)
        for seconds in arguments.seconds if steps else ():
            clip = Path(name) / f"{seconds}.mp4"
            rate = BIT_RATES.get(seconds, "690k")
            options = ("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-b:a", "96k", "-threads", "1")
            make_clip(clip, seconds=seconds, options=options)
            for size_mb in arguments.sizes:
                with screen.status(f"{seconds} s at {size_mb} MB"):
                    found += _measure(clip, seconds, size_mb, steps)
    for step in steps:
        screen.print(_table(step, found))
    if arguments.json:
        arguments.json.write_text(json.dumps([*map(asdict, answering), *map(asdict, found)], indent=1) + "\n")
    return 0


def _run(
    size_mb: int, options: Sequence[str], program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A program in Lambda's image, with the built code and layer, and what Lambda gives for the memory."""
    limits = ["--memory", f"{size_mb}m", "--memory-swap", f"{size_mb}m"]
    limits += ["--cpus", f"{size_mb / MB_A_PROCESSOR:.2f}"]
    folders = {BUILD / "CheckUpload": "/var/task", BUILD / "MediaToolsLayer": "/opt"}
    volumes = [option for of, at in folders.items() for option in ("--volume", f"{of}:{at}:ro")]
    settings = ["--env", "MAGIC=/opt/share/magic.mgc", "--entrypoint", "/var/lang/bin/python3.13"]
    return subprocess.run(
        ["docker", "run", "--rm", *limits, *volumes, *settings, *options, IMAGE, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def _measure_answers(module: str, size_mb: int, aws: StubAws) -> Answering:
    prepare(aws, module, b"")
    environment = {**aws.environment, "AWS_LAMBDA_FUNCTION_NAME": "sweep"}
    options = ["--network", "host"]
    options += [option for name, value in environment.items() for option in ("--env", f"{name}={value}")]
    ended = _run(size_mb, options, ANSWER, module, sample_event(module), str(ANSWERS))
    if ended.returncode:
        raise NotMeasured(f"{module} at {size_mb} MB ended with {ended.returncode}: {ended.stderr[-500:]}")
    return Answering(module, size_mb, *json.loads(ended.stdout.splitlines()[-1]))


def _answers_table(found: Sequence[Answering]) -> Table:
    table = new_table(
        "The API, by memory", "", "memory, MB", "import, ms", "first answer, ms", "others, ms",
        f"{VIDEOS:,} others, $",
    )  # fmt: skip
    for each in found:
        cost_usd = VIDEOS * (each.warm_s * each.size_mb / 1024 * USD_A_GB_S["x86_64"] + USD_A_REQUEST)
        figures = (each.import_s * 1000, each.first_s * 1000, each.warm_s * 1000, cost_usd)
        table.add_row(each.module, str(each.size_mb), *(f"{figure:.3g}" for figure in figures))
    return table


def _measure(clip: Path, clip_s: int, size_mb: int, steps: Sequence[str]) -> list[Setting]:
    """Each step once, with everything it loads. Raises NotMeasured without Docker, the image or a build."""
    if not BUILD.exists():
        raise NotMeasured("Nothing is built: make build.")
    wanted = steps if "transcode" not in steps else STEPS  # a transcode needs its check
    volumes = ["--volume", f"{clip.parent}:/clips:ro", "--network", "none"]
    ended = _run(size_mb, volumes, RUN, f"/clips/{clip.name}", "1", *wanted)
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith('["')]
    if ended.returncode not in (0, KILLED):
        raise NotMeasured(f"docker run ended with {ended.returncode}: {ended.stderr[-500:]}")
    figures = {step: told for step, *told in lines}
    for step, (state, *_) in figures.items():
        if state != {"check": "queued", "transcode": "completed"}[step]:
            raise NotMeasured(f"After its {step}, the clip of {clip_s} s is {state}.")
    return [
        Setting(step, clip_s, size_mb, *(figures[step][1:] if step in figures else (None, None, None)))
        for step in steps
    ]


def _table(step: str, found: Sequence[Setting]) -> Table:
    table = new_table(
        f"{step}, by memory", "memory, MB", "processors", "clip, s", "wall, s", "CPU, s", "peak, MB",
        f"{VIDEOS:,} videos, $", "arm64, $",
    )  # fmt: skip
    for each in sorted((one for one in found if one.step == step), key=lambda one: (one.size_mb, one.clip_s)):
        figures = (each.wall_s, each.cpu_s, each.peak_mb, each.cost_usd("x86_64"), each.cost_usd("arm64"))
        table.add_row(
            str(each.size_mb),
            f"{each.size_mb / MB_A_PROCESSOR:.2f}",
            str(each.clip_s),
            *("killed" if figure is None else f"{figure:.3g}" for figure in figures),
        )
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Find the memory that checks and transcodes need.")
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS, help="lengths of the clips")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES_MB, help="MB of memory")
    parser.add_argument("--steps", nargs="+", choices=("api", *STEPS), default=("api", *STEPS))
    parser.add_argument("--json", type=Path, help="file to write every figure to")
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
