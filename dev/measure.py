"""What a server used, what was promised of it, and how both are shown: for all that measures.

Linux only (/proc).
"""

import argparse
import contextlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.table import Table

from dev.server import Server

TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01

screen = Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)


class NotMeasured(Exception):
    """A figure could not be had; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class Used:
    """By a process, and in ``cpu_s`` and ``peak_mb`` by those it waited for; the peak is of the largest."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Budget:
    """A promise: ``found``, each figure of a run, against the ``limit`` that ``judged`` of them must keep.

    ``at_least``: the limit is a minimum.
    """

    what: str
    limit: float
    unit: str
    found: list[float]
    judged: Callable[[Sequence[float]], float] = statistics.median
    at_least: bool = False

    @property
    def holds(self) -> bool:
        judged = self.judged(self.found)
        return judged >= self.limit if self.at_least else judged <= self.limit

    @property
    def promise(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"


class Measured:
    """A server in a folder of its own; ``options`` are those of its command line.

    Attributes:
        cpu_s: from when it answers until ``note_cpu``.
        peak_mb: resident memory of the largest process, itself or an ffmpeg; known at its end.
        own_peak_mb: the same, of itself.
        tracebacks: how many are in its log; known at its end.
    """

    def __init__(self, *options: str) -> None:
        self._options = options

    def __enter__(self) -> "Measured":
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-server-"))
            self._server = stack.enter_context(Server(Path(folder), options=self._options))
            self._stack = stack.pop_all()
        self.url = self._server.url
        self.cpu_s = self.peak_mb = self.own_peak_mb = 0.0
        self.tracebacks = 0
        self._cpu_before_s = _cpu_s(self._server.process.pid)
        return self

    def note_cpu(self) -> None:
        """Stop counting: what follows is for us, not for the clip."""
        self.cpu_s = _cpu_s(self._server.process.pid) - self._cpu_before_s

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                self.own_peak_mb = _peak_mb(self._server.process.pid)
                self._server.process.send_signal(signal.SIGINT)
                self.peak_mb = wait(self._server.process).peak_mb
                self.tracebacks = self._server.log.read_text(errors="replace").count("Traceback")


def wait(process: subprocess.Popen[Any]) -> Used:
    """Wait for a child; what it and every process it waited for used, its start included."""
    began = time.perf_counter()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Used(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of every child it has waited for.

    Source: proc(5), /proc/pid/stat, fields 14 to 17: utime, stime, cutime, cstime.
    """
    after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, after_the_name[11:15])) * TICK_S


def _peak_mb(pid: int) -> float:
    """Source: proc(5), /proc/pid/status, VmHWM."""
    told = re.search(r"^VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if not told:
        raise NotMeasured(f"/proc/{pid}/status names no VmHWM.")
    return int(told[1]) * 1024 / 1e6


def budgets_table(budgets: list[Budget]) -> Table:
    table = new_table("Budgets", "", "promised", "found", "")
    for budget in budgets:
        verdict = "[green]holds[/]" if budget.holds else "[bold red]BROKEN[/]"
        table.add_row(budget.what, budget.promise, spread(budget.found), verdict)
    return table


def new_table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def share_of(figures: Sequence[float], share: float) -> float:
    """A percentile: ``share`` 0.99 is the figure that 99 of 100 do not exceed."""
    if not figures:
        raise NotMeasured("Nobody was answered.")
    ordered = sorted(figures)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def spread(figures: Sequence[float]) -> str:
    """``"12.3 (11.9 – 13.0)"``: median, least and most."""
    return f"{_short(statistics.median(figures))} ({_short(min(figures))} – {_short(max(figures))})"


def _short(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


# ── As programs ──────────────────────────────────────────────────────────────────


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was typed: what ``parser`` asks for, a clip, and where the figures go."""
    parser.add_argument("clip", nargs="?", type=Path, help="a conforming clip; one is made without it")
    parser.add_argument("--json", type=Path, help="file to write every figure to")
    arguments = parser.parse_args()
    if arguments.clip and not arguments.clip.is_file():
        parser.error(f"there is no file {arguments.clip}")
    if not Path("/proc/self/stat").exists():
        parser.error("this measures through /proc, which only Linux has")
    return arguments


def run_program(main: Callable[[], int]) -> NoReturn:
    """Exit with what ``main`` returns; with 2 if something could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except (NotMeasured, httpx.HTTPError, subprocess.SubprocessError, TimeoutError) as error:
        screen.print(f"[bold red]Not measured.[/] {error}", markup=True)
        sys.exit(2)
