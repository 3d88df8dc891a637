"""What the service costs beside plain ffmpeg and typical servers: on this machine, in one run, side by side.

    make bench                                       with a clip made on the spot
    make bench BENCH_CLIP=clip.mp4 BENCH_ROUNDS=5    with one of yours
    make bench BENCH_PARTS="ways handlers"           only these parts

    ways       three ways to the same files: naive ffmpeg, one ffmpeg process, this service
    crowds     the service alone, with more and more clips uploaded at once; needs ``ways``
    check      the check on one processor, beside the tools it runs
    handlers   what ticket, status and metadata take above storage and table
    rate       status reads a second, beside a bare FastAPI app
    fix        fixes of what phones record until the 720p plays, beside one plain ffmpeg
    starts     import and first answer of every function as built, beside a typical one

What is compared takes turns, round by round, so that a busy machine slows all of it. CPU seconds and ratios
within a round can be compared between machines and days; wall seconds cannot.

Exits with 1 if a budget is broken, with 2 if something could not be measured. Linux only (/proc).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from dev import cold_start, fixes, handlers, one_processor, status_rate, vmaf
from dev.clips import make_clip
from dev.measure import Budget, NotMeasured, budgets_table, new_table, parsed, run_program, screen, spread
from dev.vmaf import Quality
from dev.ways import TOOLS, Crowd, Run, crowd, naive, one_process, service
from videos.checking.probe import probe

WAYS = {"naive": naive, "one process": one_process, "service": service}
PARTS = ("ways", "crowds", "check", "fix", "handlers", "rate", "starts")
AT_ONCE = (1, 2, 4, 8, 16)  # clips
JUDGED = 8  # of them at once


@dataclass
class Report:
    """Everything measured, as --json writes it; what was not asked for is empty, or None."""

    clip: dict[str, Any]
    runs: dict[str, list[Run]] = field(default_factory=dict)
    quality: dict[str, dict[str, Quality]] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    check: dict[str, list[float]] | None = None
    fix: dict[str, fixes.Fixes] | None = None
    handlers: dict[str, list[list[float]]] | None = None
    rate: dict[str, list[float]] | None = None
    starts: cold_start.Starts | None = None
    unmeasured: list[str] = field(default_factory=list)


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        clip = arguments.clip or _sample(folder)
        report = _measure(clip, folder, arguments)
    budgets = _budgets(report)
    _show(report, budgets)
    if arguments.json:
        arguments.json.write_text(json.dumps(_as_json(report, budgets), indent=1) + "\n")
    if report.unmeasured:
        return 2
    return 0 if all(budget.holds for budget in budgets) else 1


def _measure(clip: Path, folder: Path, arguments: argparse.Namespace) -> Report:
    media = probe(clip, TOOLS)
    rounds = arguments.rounds
    report = Report(
        {"name": clip.name, "bytes": media.size_bytes, "codec": media.codec, "seconds": media.duration_s}
    )
    if "ways" in arguments.parts:
        report.runs = {way: [] for way in WAYS}
        for number in range(1, rounds + 1):
            for way, take in WAYS.items():
                outputs = _fresh(folder / way)
                with screen.status(f"round {number} of {rounds}: {way}"):
                    report.runs[way].append(take(clip, media, outputs))
        with _noted(report, "VMAF"):
            report.quality = vmaf.score({way: folder / way for way in WAYS}, clip)
    if "crowds" in arguments.parts:
        for number in range(1, arguments.concurrent_rounds + 1):
            for count in arguments.at_once:
                with screen.status(f"round {number} of {arguments.concurrent_rounds}: {count} at once"):
                    report.crowds.append(crowd(clip, count))
    if "check" in arguments.parts:
        with _noted(report, "check"):
            report.check = one_processor.measure(clip, rounds)
    if "fix" in arguments.parts:
        with _noted(report, "fix"):
            report.fix = fixes.measure(arguments.fix_rounds, arguments.fix, arguments.fix_seconds)
    if "handlers" in arguments.parts:
        with _noted(report, "handlers"):
            report.handlers = handlers.measure(rounds)
    if "rate" in arguments.parts:
        with _noted(report, "rate"):
            report.rate = status_rate.measure(rounds)
    if "starts" in arguments.parts:
        with _noted(report, "starts"):
            report.starts = cold_start.measure(rounds)
    return report


@contextmanager
def _noted(report: Report, part: str) -> Iterator[None]:
    """What could not be measured does not take the other figures with it."""
    try:
        yield
    except (NotMeasured, subprocess.SubprocessError, httpx.HTTPError) as failure:
        report.unmeasured.append(f"{part}: {failure}")


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# ── Budgets ──────────────────────────────────────────────────────────────────────


def _budgets(report: Report) -> list[Budget]:
    """Those of what was measured."""
    found: list[Budget] = []
    if report.runs:
        found += _budgets_of_ways(report.runs)
        found += _budgets_of_crowds(report)
    peaks_mb = [run.peak_mb for run in (*report.runs.get("service", ()), *report.crowds)]
    if peaks_mb:
        found.append(Budget("memory of any process, at most", 350, "MB", peaks_mb, max))
    if report.check:
        found += one_processor.budgets(report.check)
    if report.fix:
        found += fixes.budgets(report.fix)
    if report.handlers:
        found += handlers.budgets(report.handlers)
    if report.rate:
        found += status_rate.budgets(report.rate)
    if report.starts:
        found += cold_start.budgets(report.starts)
    return found


def _budgets_of_ways(runs: dict[str, list[Run]]) -> list[Budget]:
    ours = runs["service"]

    def ratios(of: Callable[[Run], float], way: str, to_what: Callable[[Run], float]) -> list[float]:
        return [of(run) / to_what(theirs) for run, theirs in zip(ours, runs[way], strict=True)]

    return [
        Budget(
            "upload complete → playable ÷ wall of naive",
            0.006,
            "×",
            ratios(lambda run: run.playable_s, "naive", _wall_s),
        ),
        Budget("CPU ÷ CPU of naive", 0.5, "×", ratios(_cpu_s, "naive", _cpu_s)),
        Budget("wall ÷ wall of one process", 1.1, "×", ratios(_wall_s, "one process", _wall_s)),
    ]


def _budgets_of_crowds(report: Report) -> list[Budget]:
    """By the naive ladder of the same run: a crowd lasts as long as several of its rounds."""
    naive_s = statistics.median(map(_wall_s, report.runs["naive"]))
    crowds = [each.playable_s for each in report.crowds if each.clips == JUDGED]
    if not crowds:
        return []
    medians, slowest = ([of(times) / naive_s for times in crowds] for of in (statistics.median, max))
    return [
        Budget(f"{JUDGED} at once: median → playable ÷ wall of naive", 0.03, "×", medians),
        Budget(f"{JUDGED} at once: slowest → playable ÷ wall of naive", 0.06, "×", slowest),
    ]


def _cpu_s(run: Run) -> float:
    return run.cpu_s


def _wall_s(run: Run) -> float:
    return run.wall_s


# ── Tables ───────────────────────────────────────────────────────────────────────


def _show(report: Report, budgets: list[Budget]) -> None:
    clip = report.clip
    screen.print(
        f"\n{clip['name']}: {clip['seconds']:.1f} s, {clip['bytes'] / 1e6:.2f} MB, {clip['codec']}; "
        f"{os.cpu_count()} processors. Medians (least – most).\n"
    )
    for table in _tables(report):
        screen.print(table)
    screen.print(budgets_table(budgets))
    for sentence in report.unmeasured:
        screen.print(f"[bold red]Not measured.[/] {sentence}")


def _tables(report: Report) -> Iterator[Table]:
    if report.runs:
        yield _ways_table(report)
    if report.quality:
        yield _quality_table(report)
    if report.crowds:
        yield _crowds_table(report)
    if report.check:
        yield one_processor.table(report.check)
    if report.fix:
        yield fixes.table(report.fix)
    if report.handlers:
        yield handlers.table(report.handlers)
    if report.rate:
        yield status_rate.table(report.rate)
    if report.starts:
        yield from cold_start.tables(report.starts)


def _ways_table(report: Report) -> Table:
    table = new_table("The same files, three ways", "", *report.runs)
    rows: dict[str, Callable[[Run], float]] = {
        "wall, s": lambda run: run.wall_s,
        "CPU, s": lambda run: run.cpu_s,
        "peak memory, MB": lambda run: run.peak_mb,
        "bytes out, MB": lambda run: run.bytes_out / 1e6,
        "→ playable, s": lambda run: run.playable_s,
        "→ completed, s": lambda run: run.completed_s,
    }
    for title, figure in rows.items():
        table.add_row(title, *(spread([figure(run) for run in runs]) for runs in report.runs.values()))
    return table


def _quality_table(report: Report) -> Table:
    table = new_table("VMAF: mean (worst 5 % of frames)", "", *report.quality)
    names = dict.fromkeys(name for found in report.quality.values() for name in found)
    for name in names:
        found = [scores.get(name) for scores in report.quality.values()]
        table.add_row(name, *(f"{each.mean:.1f} ({each.p5:.1f})" if each else "" for each in found))
    return table


def _crowds_table(report: Report) -> Table:
    columns = ["wall, s", "CPU, s", "→ playable, s", "slowest of them", "peak memory, MB"]
    naive_s = statistics.median(map(_wall_s, report.runs["naive"])) if report.runs else None
    if naive_s:
        columns += ["median ÷ naive", "slowest ÷ naive"]
    table = new_table("Uploaded at once", "clips", *columns)
    for count in sorted({each.clips for each in report.crowds}):
        crowds = [each for each in report.crowds if each.clips == count]
        playable_s = [seconds for each in crowds for seconds in each.playable_s]
        slowest_s = [max(each.playable_s) for each in crowds]
        ratios = (statistics.median(playable_s), statistics.median(slowest_s)) if naive_s else ()
        table.add_row(
            str(count),
            spread([each.wall_s for each in crowds]),
            spread([each.cpu_s for each in crowds]),
            spread(playable_s),
            spread(slowest_s),
            spread([each.peak_mb for each in crowds]),
            *(f"{seconds / naive_s:.3f}" for seconds in ratios if naive_s),
        )
    return table


def _as_json(report: Report, budgets: list[Budget]) -> dict[str, Any]:
    return asdict(report) | {
        "processors": os.cpu_count(),
        "budgets": [
            {"what": b.what, "limit": b.limit, "unit": b.unit, "found": b.found, "holds": b.holds}
            for b in budgets
        ],
    }


# ── What to measure ──────────────────────────────────────────────────────────────


def _sample(folder: Path) -> Path:
    """As long and nearly as big as allowed; on one thread, which makes the same bytes everywhere."""
    rate = ("-b:v", "690k", "-maxrate", "690k", "-bufsize", "690k", "-b:a", "96k", "-threads", "1")
    with screen.status("No BENCH_CLIP given: making 60 s of one with ffmpeg"):
        return make_clip(folder / "sample.mp4", seconds=60, options=rate)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare TikToken with plain ffmpeg and typical servers.")
    parser.add_argument("--rounds", type=int, default=5, help="of everything but crowds (default 5)")
    parser.add_argument("--concurrent-rounds", type=int, default=5, help="of the crowds (default 5)")
    parser.add_argument("--at-once", type=_counts, default=AT_ONCE, help="clips in the crowds (1 2 4 8 16)")
    parser.add_argument(
        "--fix", type=Path, nargs="+", default=(), help="clips to fix besides those made here"
    )
    parser.add_argument("--fix-rounds", type=int, default=2, help="of the fixes (default 2)")
    parser.add_argument("--fix-seconds", type=float, default=fixes.SECONDS, help="of clips made to be fixed")
    parser.add_argument("--parts", type=_parts, default=PARTS, help="what to measure (everything)")
    return parsed(parser)


def _counts(typed: str) -> list[int]:
    return [int(count) for count in typed.replace(",", " ").split()]


def _parts(typed: str) -> list[str]:
    parts = typed.replace(",", " ").split()
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{unknown} are not among {PARTS}")
    return parts


if __name__ == "__main__":
    run_program(main)
