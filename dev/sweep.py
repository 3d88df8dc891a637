"""What memory and processor do for checks and transcodes, and what a thousand videos cost at each setting.

    make sweep                                                every clip at every size: half an hour
    make sweep SWEEP_OPTIONS="--seconds 15 --sizes 1769 3008"

What ``make build`` built runs in Lambda's image under Docker's limits, with as much of a processor as Lambda
gives for the memory, and with the local adapters: what S3, DynamoDB and SQS take is left out.
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
from dev.measure import NotMeasured, new_table, run_program, screen

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
    with tempfile.TemporaryDirectory(prefix="sweep-") as name:
        Path(name).chmod(0o755)
        for seconds in arguments.seconds:
            clip = Path(name) / f"{seconds}.mp4"
            rate = BIT_RATES.get(seconds, "690k")
            options = ("-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-b:a", "96k", "-threads", "1")
            make_clip(clip, seconds=seconds, options=options)
            for size_mb in arguments.sizes:
                with screen.status(f"{seconds} s at {size_mb} MB"):
                    found += _measure(clip, seconds, size_mb, arguments.steps)
    for step in arguments.steps:
        screen.print(_table(step, found))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(setting) for setting in found], indent=1) + "\n")
    return 0


def _measure(clip: Path, clip_s: int, size_mb: int, steps: Sequence[str]) -> list[Setting]:
    """Each step once, with everything it loads. Raises NotMeasured without Docker, the image or a build."""
    if not BUILD.exists():
        raise NotMeasured("Nothing is built: make build.")
    wanted = steps if "transcode" not in steps else STEPS  # a transcode needs its check
    limits = ["--memory", f"{size_mb}m", "--memory-swap", f"{size_mb}m"]
    limits += ["--cpus", f"{size_mb / MB_A_PROCESSOR:.2f}", "--network", "none"]
    folders = {BUILD / "CheckUpload": "/var/task", BUILD / "MediaToolsLayer": "/opt", clip.parent: "/clips"}
    volumes = [option for of, at in folders.items() for option in ("--volume", f"{of}:{at}:ro")]
    settings = ["--env", "MAGIC=/opt/share/magic.mgc", "--entrypoint", "/var/lang/bin/python3.13"]
    program = ["-c", RUN, f"/clips/{clip.name}", "1", *wanted]
    ended = subprocess.run(
        ["docker", "run", "--rm", *limits, *volumes, *settings, IMAGE, *program],
        capture_output=True,
        text=True,
        check=False,
    )
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
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--json", type=Path, help="file to write every figure to")
    return parser.parse_args()


if __name__ == "__main__":
    run_program(main)
