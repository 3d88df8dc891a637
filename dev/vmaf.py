"""The quality of renditions, by VMAF."""

import contextlib
import hashlib
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.measure import NotMeasured, screen
from dev.ways import run

# The usual way to score a ladder: every rendition scaled up to what the phone shows, every fifth frame.
VMAF = (
    "[0:v]scale=720:1280:flags=bicubic,format=yuv420p,setpts=PTS-STARTPTS[made];"
    "[1:v]format=yuv420p,setpts=PTS-STARTPTS[source];"
    "[made][source]libvmaf=model=version=vmaf_v0.6.1:n_subsample=5:n_threads=2:log_fmt=json:log_path={log}"
)


@dataclass(frozen=True, slots=True)
class Quality:
    """VMAF of a rendition, 0 to 100: on average, and what 95 % of its frames reach."""

    mean: float
    p5: float


def score(folders: Mapping[str, Path], clip: Path) -> dict[str, dict[str, Quality]]:
    """The MP4 files in each folder, by their names. The same bytes are scored once.

    Raises NotMeasured without an ffmpeg that has libvmaf.
    """
    ffmpeg = _ffmpeg_with_vmaf()
    if not ffmpeg:
        raise NotMeasured("no ffmpeg with libvmaf here (pip install imageio-ffmpeg).")
    known: dict[str, Quality] = {}
    found: dict[str, dict[str, Quality]] = {}
    for way, folder in folders.items():
        scores = found[way] = {}
        for path in sorted(folder.rglob("*.mp4"), reverse=True):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in known:
                with screen.status(f"VMAF of {path.name}, {way}"):
                    known[digest] = _vmaf(ffmpeg, path, clip)
            scores[path.stem] = known[digest]
    return found


def _vmaf(ffmpeg: str, made: Path, clip: Path) -> Quality:
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        inputs = ["-i", str(made), "-i", str(clip)]
        graph = VMAF.format(log=log.name)
        run([ffmpeg, "-v", "error", "-nostdin", *inputs, "-lavfi", graph, "-an", "-f", "null", "-"])
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
