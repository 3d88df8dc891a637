"""What the service costs beside plain ffmpeg: on this machine, in one run, side by side.

    make bench                                       with a clip made on the spot
    make bench BENCH_CLIP=clip.mp4 BENCH_ROUNDS=5    with one of yours

Three ways to the same files take turns, round by round, so that a busy machine slows all of them:

    naive         five ffmpeg processes, one after the other: remux, 720p, 540p, 360p, poster
    one process   one bare ffmpeg that makes the files we make, as an expert would type it
    service       this project, seen by an app: ticket, upload, everything until completed

Then the service alone with more and more clips uploaded at once. CPU seconds and ratios within a
round can be compared between machines and days; wall seconds cannot.

Exits with 1 if a budget is broken, with 2 if something could not be measured. Linux only (/proc).
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from dev.client import App
from dev.clips import make_clip
from dev.measure import (
    Budget,
    Measured,
    NotMeasured,
    Used,
    budgets_table,
    new_table,
    parsed,
    run_program,
    screen,
    spread,
    wait,
)
from videos.checking.probe import probe
from videos.making import commands, stills
from videos.making.commands import Poster, Sprite, Target
from videos.making.outputs import can_be_copied, copy_name
from videos.model import LADDER_PX, Media, OutputName
from videos.wiring import media_tools

TOOLS = media_tools(os.environ)
AT_ONCE = (1, 2, 4, 8)  # clips
LONGEST_S = 1800  # for the slowest machine with the most clips
NICENESS = 10  # what the local server gives its ffmpeg; else a busy machine would be kinder to the others
# The usual way to score a ladder: every rendition scaled up to what the phone shows, every fifth frame.
VMAF = (
    "[0:v]scale=720:1280:flags=bicubic,format=yuv420p,setpts=PTS-STARTPTS[made];"
    "[1:v]format=yuv420p,setpts=PTS-STARTPTS[source];"
    "[made][source]libvmaf=model=version=vmaf_v0.6.1:n_subsample=5:n_threads=2:log_fmt=json:log_path={log}"
)


@dataclass(frozen=True, slots=True)
class Run:
    """One way, taken once.

    Attributes:
        wall_s: from the start, or from asking for a ticket, until every file is there.
        cpu_s: user and system, of every process that took part.
        peak_mb: resident memory of the largest single process.
        playable_s: from the start, or from the upload's end, until a 720p file plays.
        completed_s: the same, until every file is there.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    bytes_out: int
    playable_s: float
    completed_s: float


@dataclass(frozen=True, slots=True)
class Crowd:
    """Several clips uploaded at once: ``wall_s`` until all are complete, ``playable_s`` of each."""

    clips: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    playable_s: list[float]


@dataclass(frozen=True, slots=True)
class Quality:
    """VMAF of a rendition, 0 to 100: on average, and what 95 % of its frames reach."""

    mean: float
    p5: float


@dataclass
class Report:
    """Everything measured, as --json writes it."""

    clip: dict[str, Any]
    runs: dict[str, list[Run]] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    quality: dict[str, dict[str, Quality]] = field(default_factory=dict)
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
    report = Report(
        {"name": clip.name, "bytes": media.size_bytes, "codec": media.codec, "seconds": media.duration_s}
    )
    ways = {"naive": _naive, "one process": _one_process, "service": _service}
    report.runs = {way: [] for way in ways}
    for number in range(1, arguments.rounds + 1):
        for way, take in ways.items():
            outputs = _fresh(folder / way)
            with screen.status(f"round {number} of {arguments.rounds}: {way}"):
                report.runs[way].append(take(clip, media, outputs))
    try:
        _score(report, {way: folder / way for way in ways}, clip)
    except NotMeasured as failure:
        report.unmeasured.append(f"VMAF: {failure}")
    for number in range(1, arguments.concurrent_rounds + 1):
        for count in AT_ONCE:
            with screen.status(f"round {number} of {arguments.concurrent_rounds}: {count} at once"):
                report.crowds.append(_crowd(clip, count))
    return report


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


# ── The three ways ───────────────────────────────────────────────────────────────


def _naive(clip: Path, media: Media, folder: Path) -> Run:
    """A process per file, in the order of the ladder; the encodes as ours are encoded."""
    remux = [*_typed(clip), *_copied(media), str(folder / "remux.mp4")]
    encodes = [commands.ladder_command(TOOLS, clip, media, [_target(folder, name)]) for name in LADDER_PX]
    poster = [*_typed(clip), "-frames:v", "1", "-update", "1", "-q:v", "4", str(folder / "poster.jpg")]
    used = [_run(command) for command in (remux, *encodes, poster)]
    wall_s = sum(each.wall_s for each in used)
    return Run(
        wall_s=wall_s,
        cpu_s=sum(each.cpu_s for each in used),
        peak_mb=max(each.peak_mb for each in used),
        bytes_out=_bytes_in(folder),
        playable_s=used[0].wall_s,
        completed_s=wall_s,
    )


def _one_process(clip: Path, media: Media, folder: Path) -> Run:
    """Our own command for what is to be encoded, and the copy as one more of its outputs."""
    copy = copy_name(media) if can_be_copied(media) else ""
    targets = [_target(folder, name) for name in LADDER_PX if name != copy]
    sheet = stills.sheet(media.duration_s)
    sprite = Sprite(Target(folder / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    poster = Poster(
        Target(folder / "poster.jpg", *stills.POSTER_PX), Target(folder / "tiny.rgb", *stills.TINY_PX)
    )
    command = commands.ladder_command(TOOLS, clip, media, targets, sprite, poster)
    if copy:
        command += [*_copied(media), str(folder / f"{copy}.mp4")]
    used = _run(command)
    return Run(
        wall_s=used.wall_s,
        cpu_s=used.cpu_s,
        peak_mb=used.peak_mb,
        bytes_out=_bytes_in(folder),
        playable_s=used.wall_s,  # a faststart file is whole at the very end
        completed_s=used.wall_s,
    )


def _service(clip: Path, _: Media, folder: Path) -> Run:
    """Everything over HTTP, on a server of its own that has just started."""
    with Measured() as server:
        app = App(server.url)
        asked_at = datetime.now(UTC)
        video = _completed(app, _upload(app, clip))
        server.note_cpu()
        for rendition in video["renditions"]:
            _download(app, rendition["url"], folder / f"{rendition['name']}.mp4")
    return Run(
        wall_s=(_at(video["completed_at"]) - asked_at).total_seconds(),
        cpu_s=server.cpu_s,
        peak_mb=server.peak_mb,
        bytes_out=video["storage_info"]["outputs_bytes"],
        playable_s=_since_upload_s(video, "playable_at"),
        completed_s=_since_upload_s(video, "completed_at"),
    )


def _crowd(clip: Path, count: int) -> Crowd:
    """``count`` phones that upload at the same time."""
    with Measured() as server:
        app = App(server.url)
        asked_at = datetime.now(UTC)
        with ThreadPoolExecutor(count) as phones:
            ids = list(phones.map(lambda _: _upload(App(server.url), clip), range(count)))
        videos = [_completed(app, video_id) for video_id in ids]
        server.note_cpu()
    return Crowd(
        clips=count,
        wall_s=(max(_at(video["completed_at"]) for video in videos) - asked_at).total_seconds(),
        cpu_s=server.cpu_s,
        peak_mb=server.peak_mb,
        playable_s=[_since_upload_s(video, "playable_at") for video in videos],
    )


# ── ffmpeg, measured ─────────────────────────────────────────────────────────────


def _run(command: Sequence[str]) -> Used:
    """Run a program to its end, alone; what it and its children used."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
            used = wait(process)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        wall_s = time.perf_counter() - began
        errors.seek(0)
        last_words = errors.read()[-500:].decode(errors="replace").strip()
    if process.returncode:
        raise NotMeasured(f"{Path(command[0]).name} ended with {process.returncode}: {last_words}")
    return Used(wall_s, used.cpu_s, used.peak_mb)


def _typed(clip: Path) -> list[str]:
    return [TOOLS.ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(clip)]


def _copied(media: Media) -> list[str]:
    """The options of an output that is the source's picture and sound as they are."""
    sound = ["-map", f"0:{media.audio.stream_index}"] if media.audio else []
    return ["-map", f"0:{media.stream_index}", *sound, "-c", "copy", "-movflags", "+faststart"]


def _target(folder: Path, name: OutputName) -> Target:
    return Target(folder / f"{name}.mp4", *LADDER_PX[name])


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# ── The service, as an app sees it ───────────────────────────────────────────────


def _upload(app: App, clip: Path) -> str:
    try:
        return str(app.upload(clip)["id"])
    except httpx.HTTPStatusError as refusal:
        raise NotMeasured(f"{clip.name} was not taken: {refusal.response.text}") from None


def _completed(app: App, video_id: str) -> dict[str, Any]:
    """Its metadata, once it is complete."""
    status = app.follow(video_id, timeout_s=LONGEST_S)
    if status["state"] != "completed":
        raise NotMeasured(f"The video is {status['state']}: {status.get('error')}")
    return app.metadata(video_id)


def _since_upload_s(video: dict[str, Any], event: str) -> float:
    return (_at(video[event]) - _at(video["storage_info"]["uploaded_at"])).total_seconds()


def _at(time: str) -> datetime:
    return datetime.fromisoformat(time)


def _download(app: App, url: str, path: Path) -> None:
    path.write_bytes(app.http.get(url, follow_redirects=True).raise_for_status().content)


# ── Quality ──────────────────────────────────────────────────────────────────────


def _score(report: Report, folders: dict[str, Path], clip: Path) -> None:
    """VMAF of what the last round left; the same bytes are scored once."""
    ffmpeg = _ffmpeg_with_vmaf()
    if not ffmpeg:
        report.unmeasured.append("VMAF: no ffmpeg with libvmaf here (pip install imageio-ffmpeg).")
        return
    known: dict[str, Quality] = {}
    for way, folder in folders.items():
        scores = report.quality[way] = {}
        for path in sorted(folder.rglob("*.mp4"), reverse=True):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in known:
                with screen.status(f"VMAF of {path.name}, {way}"):
                    known[digest] = _vmaf(ffmpeg, path, clip)
            scores[path.stem] = known[digest]


def _vmaf(ffmpeg: str, made: Path, clip: Path) -> Quality:
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        inputs = ["-i", str(made), "-i", str(clip)]
        graph = VMAF.format(log=log.name)
        _run([ffmpeg, "-v", "error", "-nostdin", *inputs, "-lavfi", graph, "-an", "-f", "null", "-"])
        scores = sorted(frame["metrics"]["vmaf"] for frame in json.loads(log.read())["frames"])
    return Quality(statistics.fmean(scores), scores[len(scores) // 20])


def _ffmpeg_with_vmaf() -> str | None:
    """The wheel's, or one on PATH; the product's own ffmpeg comes without."""
    with contextlib.suppress(ImportError, RuntimeError):
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    if ffmpeg := shutil.which("ffmpeg"):
        filters = subprocess.check_output([ffmpeg, "-v", "error", "-filters"], text=True)
        if " libvmaf " in filters:
            return ffmpeg
    return None


# ── Budgets ──────────────────────────────────────────────────────────────────────


def _budgets(report: Report) -> list[Budget]:
    naive, one, service = (report.runs[way] for way in ("naive", "one process", "service"))

    def ratios(of: Callable[[Run], float], to: list[Run], to_what: Callable[[Run], float]) -> list[float]:
        return [of(ours) / to_what(theirs) for ours, theirs in zip(service, to, strict=True)]

    def cpu_s(run: Run) -> float:
        return run.cpu_s

    def wall_s(run: Run) -> float:
        return run.wall_s

    def playable_s(run: Run) -> float:
        return run.playable_s

    peaks_mb = [run.peak_mb for run in service] + [crowd.peak_mb for crowd in report.crowds]
    return [
        Budget("upload complete → playable", 0.5, "s", [run.playable_s for run in service]),
        Budget("→ playable ÷ wall of naive", 0.02, "×", ratios(playable_s, naive, wall_s)),
        Budget("CPU ÷ CPU of naive", 0.5, "×", ratios(cpu_s, naive, cpu_s)),
        Budget("wall ÷ wall of one process", 1.1, "×", ratios(wall_s, one, wall_s)),
        Budget("memory of any process, at most", 350, "MB", peaks_mb, max),
    ]


# ── Tables ───────────────────────────────────────────────────────────────────────


def _show(report: Report, budgets: list[Budget]) -> None:
    clip = report.clip
    rounds = len(report.runs["service"])
    screen.print(
        f"\n{clip['name']}: {clip['seconds']:.1f} s, {clip['bytes'] / 1e6:.2f} MB, {clip['codec']}; "
        f"{rounds} rounds, {os.cpu_count()} processors. Medians (least – most).\n"
    )
    screen.print(_ways_table(report))
    if report.quality:
        screen.print(_quality_table(report))
    if report.crowds:
        screen.print(_crowds_table(report))
    screen.print(budgets_table(budgets))
    for sentence in report.unmeasured:
        screen.print(f"[bold red]Not measured.[/] {sentence}")


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
    table = new_table(
        "Uploaded at once",
        "clips",
        "wall, s",
        "CPU, s",
        "→ playable, s",
        "slowest of them",
        "peak memory, MB",
    )
    for count in AT_ONCE:
        crowds = [crowd for crowd in report.crowds if crowd.clips == count]
        table.add_row(
            str(count),
            spread([crowd.wall_s for crowd in crowds]),
            spread([crowd.cpu_s for crowd in crowds]),
            spread([seconds for crowd in crowds for seconds in crowd.playable_s]),
            spread([max(crowd.playable_s) for crowd in crowds]),
            spread([crowd.peak_mb for crowd in crowds]),
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
    parser = argparse.ArgumentParser(description="Compare TikToken with plain ffmpeg on one clip.")
    parser.add_argument("--rounds", type=int, default=5, help="of the three ways (default 5)")
    parser.add_argument("--concurrent-rounds", type=int, default=5, help="of 1, 2, 4, 8 at once (default 5)")
    return parsed(parser)


if __name__ == "__main__":
    run_program(main)
