"""Three ways to the same files, each taken once: naive ffmpeg, one ffmpeg process, this service.

Linux only (/proc).
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from dev.client import App
from dev.measure import Measured, NotMeasured, Used, wait
from local_aws.workers import ENCODE_NICENESS
from videos.making import commands, stills
from videos.making.commands import Poster, Sprite, Target
from videos.making.outputs import can_be_copied, copy_name
from videos.model import LADDER_PX, Media, OutputName
from videos.wiring import media_tools

TOOLS = media_tools(os.environ)
LONGEST_S = 1800  # for the slowest machine with the most clips


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


# ── The three ways ───────────────────────────────────────────────────────────────


def naive(clip: Path, media: Media, folder: Path) -> Run:
    """A process per file, in the order of the ladder; the encodes as ours are encoded."""
    remux = [*_typed(clip), *_copied(media), str(folder / "remux.mp4")]
    encodes = [commands.ladder_command(TOOLS, clip, media, [_target(folder, name)]) for name in LADDER_PX]
    poster = [*_typed(clip), "-frames:v", "1", "-update", "1", "-q:v", "4", str(folder / "poster.jpg")]
    used = [run(command) for command in (remux, *encodes, poster)]
    wall_s = sum(each.wall_s for each in used)
    return Run(
        wall_s=wall_s,
        cpu_s=sum(each.cpu_s for each in used),
        peak_mb=max(each.peak_mb for each in used),
        bytes_out=_bytes_in(folder),
        playable_s=used[0].wall_s,
        completed_s=wall_s,
    )


def one_process(clip: Path, media: Media, folder: Path) -> Run:
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
    used = run(command)
    return Run(
        wall_s=used.wall_s,
        cpu_s=used.cpu_s,
        peak_mb=used.peak_mb,
        bytes_out=_bytes_in(folder),
        playable_s=used.wall_s,  # a faststart file is whole at the very end
        completed_s=used.wall_s,
    )


def service(clip: Path, _: Media, folder: Path) -> Run:
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


def crowd(clip: Path, count: int) -> Crowd:
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


def run(command: Sequence[str]) -> Used:
    """Run a program to its end, alone; what it and its children used.

    As nice as the service is to its encodes: otherwise a busy machine would be kinder to the others.
    """
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, ENCODE_NICENESS)
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
