"""The CPU that a check takes on one processor, beside that of the tools it runs.

In a process of its own that may use one processor only, as at 1,769 MB on Lambda.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from rich.table import Table

from dev.measure import Budget, new_table, screen, spread
from videos import tools
from videos.model import State, Video
from videos.steps.check_upload import check_upload
from videos.wiring import make_service

CHECK, TOOLS = "the check", "its tools alone"


def measure(clip: Path, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of the check of a clip that can be copied, and of its tools, by round."""
    with screen.status(f"check on one processor, {rounds} rounds"), tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "dev.one_processor", str(clip), str(rounds), str(figures)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, list[float]] = json.loads(figures.read_text())
    return found


def budgets(found: Mapping[str, list[float]]) -> list[Budget]:
    ratios = [whole / tools for whole, tools in zip(found[CHECK], found[TOOLS], strict=True)]
    return [Budget("check on one processor: CPU ÷ its tools'", 1.3, "×", ratios)]


def table(found: Mapping[str, list[float]]) -> Table:
    made = new_table("Check on one processor: CPU, s", "", *found)
    made.add_row("CPU, s", *map(spread, found.values()))
    return made


# ── In the other process ─────────────────────────────────────────────────────────


def _take(clip: Path, rounds: int) -> dict[str, list[float]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # and with us, the tools
    with ExitStack() as folders:
        data, bare = (Path(folders.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        service = make_service({**os.environ, "STORAGE_MODE": "local", "LOCAL_FOLDER": str(data)})
        (bare / "source").symlink_to(clip.resolve())
        needed: list[list[str]] = []

        def uploaded() -> Video:
            now = datetime.now(UTC)
            video = service.videos.add(
                Video(
                    id=str(uuid4()),
                    filename=clip.name,
                    content_type="video/mp4",
                    created_at=now,
                    updated_at=now,
                    upload_expires_at=now + timedelta(hours=1),
                )
            )
            service.storage.save(clip, video.inbox_key, content_type="video/mp4")
            return video

        def check(video: Video) -> None:
            assert check_upload(video.id, service).state is State.QUEUED

        def run_tools() -> None:
            for command in needed:
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)

        needed += _tools_of(partial(check, uploaded()), bare)  # and what is loaded now stays loaded
        found: dict[str, list[float]] = {CHECK: [], TOOLS: []}
        for _ in range(rounds):
            checking = partial(check, uploaded())
            found[CHECK].append(_cpu_s(checking, resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            found[TOOLS].append(_cpu_s(run_tools, resource.RUSAGE_CHILDREN))
    return found


def _tools_of(call: Callable[[], None], folder: Path) -> list[list[str]]:
    """The commands that ``call`` runs, as they would be in ``folder``, where its source is."""
    commands: list[list[str]] = []
    run = tools.run

    def recorded(command: Sequence[str], **options: Any) -> str:
        private = next(Path(word).parent for word in command if Path(word).name == "source")
        commands.append([word.replace(str(private), str(folder)) for word in command])
        return run(command, **options)

    with patch.object(tools, "run", recorded):
        call()
    return commands


def _cpu_s(call: Callable[[], None], *who: int) -> float:
    def used_s() -> float:
        return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))

    before_s = used_s()
    call()
    return used_s() - before_s


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(_take(Path(sys.argv[1]), int(sys.argv[2]))))
