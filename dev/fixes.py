"""What a fix costs until its 720p plays, beside one plain ffmpeg that makes the same of the same clip.

And what the other renditions cost then, beside those of the clip that plain ffmpeg made.

Clips are made on the spot, of a second that is repeated; or they are those of BENCH_FIX_CLIPS.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from dev.clips import BT709, HLG, ffmpeg, make_clip
from dev.measure import Budget, NotMeasured, Used, new_table, screen, spread
from dev.ways import TOOLS, run
from videos.checking import rules
from videos.checking.fixes import colors_of
from videos.checking.probe import probe
from videos.fix import Fit
from videos.making import color
from videos.making.fixing import make_fixed
from videos.making.outputs import make_copy, make_ladder
from videos.model import OutputName

ITSELF = (sys.executable, "-m", "dev.fixes")
SAME = 1.05  # of what costs the same, as far as one measures
SECONDS = 60
# By size and rate: what is made, and how much of its length a fix may take on two processors.
KINDS: dict[str, tuple[dict[str, Any], float]] = {
    "1080p30": ({"size": "1080x1920", "colour": BT709}, 0.5),
    "1080p60 HLG, 10-bit": ({"size": "1080x1920", "rate": "60", "colour": HLG, "pixels": "yuv420p10le"}, 1.0),
    "4K60": ({"size": "2160x3840", "rate": "60", "colour": BT709}, 4.0),
}


@dataclass
class Fixes:
    """Of one clip, by round.

    Attributes:
        limit: how much of its length a fix may take; None for one of yours.
        after, after_bare: the other renditions, of the fixed clip and of the one that plain ffmpeg made.
        disk_bytes: what it wrote.
    """

    seconds: float
    source_bytes: int
    limit: float | None
    ours: list[Used] = field(default_factory=list)
    bare: list[Used] = field(default_factory=list)
    after: list[Used] = field(default_factory=list)
    after_bare: list[Used] = field(default_factory=list)
    bytes_made: int = 0
    disk_bytes: int = 0


def measure(rounds: int, clips: Sequence[Path], seconds: float = SECONDS) -> dict[str, Fixes]:
    """Raises NotMeasured if a fixed file breaks the spec."""
    found: dict[str, Fixes] = {}
    with tempfile.TemporaryDirectory(prefix="bench-fixes-") as name:
        folder = Path(name)
        kinds = [(kind, None, limit) for kind, (_, limit) in KINDS.items()]
        for kind, clip, limit in [*kinds, *((clip.name, clip, None) for clip in clips)]:
            with screen.status(f"fixes: making {kind}"):
                source = clip or looped(folder / "source.mp4", seconds, **KINDS[kind][0])
            of = found[kind] = Fixes(probe(source, TOOLS).duration_s, source.stat().st_size, limit)
            for number in range(1, rounds + 1):
                with screen.status(f"fixes, round {number} of {rounds}: {kind}"):
                    bare = folder / "bare.mp4"
                    of.bare.append(run(plain_command(source, bare, folder)))
                    with tempfile.TemporaryDirectory(dir=folder) as private:
                        of.ours.append(run([*ITSELF, "fix", str(source), private]))
                        written = json.loads((Path(private) / "written.json").read_text())
                        of.after.append(run([*ITSELF, "ladder", str(Path(private) / "fixed.mp4"), private]))
                    with tempfile.TemporaryDirectory(dir=folder) as private:
                        of.after_bare.append(run([*ITSELF, "ladder", str(bare), private]))
                    of.bytes_made, of.disk_bytes = written["made"], written["disk"]
    return found


def looped(path: Path, seconds: float, **wanted: object) -> Path:
    """A clip of that length, of one second that is repeated; sound goes on, in stereo as of most phones."""
    second = make_clip(path.with_name("second.mp4"), seconds=1, sound=False, **wanted)  # type: ignore[arg-type]
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}")
    ffmpeg(
        "-stream_loop",
        "-1",
        "-i",
        str(second),
        *tone,
        "-t",
        str(seconds),
        "-c:v",
        "copy",
        "-ac",
        "2",
        "-shortest",
        str(path),
    )
    return path


def plain_command(source: Path, target: Path, folder: Path) -> list[str]:
    """One ffmpeg that makes a 720p of it, as somebody would type it, with our encoder's settings."""
    media = probe(source, TOOLS)
    filters = ["fps=30", "scale=720:1280:force_original_aspect_ratio=decrease"]
    if color.needs_table(colors := colors_of(media)):
        table = color.write_table(colors, folder / "colors.cube")
        filters += ["format=gbrp16le", f"lut3d={table}"]
    filters += ["scale=out_color_matrix=bt709:out_range=tv", "pad=720:1280:-1:-1", "format=yuv420p"]
    rate = int(0.85 * 8 * rules.SPEC.max_bytes / media.duration_s)
    return [
        TOOLS.ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(source), "-vf", ",".join(filters),
        "-c:v", "libx264", "-preset", "faster", "-subq", "7", "-refs", "1", "-motion-est", "dia",
        "-g", "60", "-crf", "20", "-maxrate", str(rate), "-bufsize", str(rate),
        "-c:a", "aac", "-b:a", "100k", str(target),
    ]  # fmt: skip


def budgets(found: Mapping[str, Fixes]) -> list[Budget]:
    made = []
    for kind, of in found.items():
        if of.limit:
            walls = [used.wall_s / of.seconds for used in of.ours]
            made.append(Budget(f"fix of {kind}: → playable ÷ its length", of.limit, "×", walls))
        ratios = [ours.cpu_s / bare.cpu_s for ours, bare in zip(of.ours, of.bare, strict=True)]
        made.append(Budget(f"fix of {kind}: CPU ÷ one plain ffmpeg", 1.1, "×", ratios))
        ratios = [ours.cpu_s / bare.cpu_s for ours, bare in zip(of.after, of.after_bare, strict=True)]
        made.append(Budget(f"fix of {kind}: CPU of its ladder ÷ plain's", SAME, "×", ratios))
    peaks_mb = [used.peak_mb for of in found.values() for used in of.ours]
    made.append(Budget("fixes: memory of any process, at most", 900, "MB", peaks_mb, max))
    bytes_made = [float(of.bytes_made) for of in found.values()]
    made.append(Budget("fixes: bytes made, at most", rules.SPEC.max_bytes, "bytes", bytes_made, max))
    return made


def table(found: Mapping[str, Fixes]) -> Table:
    made = new_table("Fixes until the 720p plays, and one plain ffmpeg", "", *found)
    rows: dict[str, Callable[[Fixes], str]] = {
        "wall ÷ length": lambda of: spread([used.wall_s / of.seconds for used in of.ours]),
        "wall ÷ length, plain ffmpeg": lambda of: spread([used.wall_s / of.seconds for used in of.bare]),
        "CPU, s": lambda of: spread([used.cpu_s for used in of.ours]),
        "CPU, s, plain ffmpeg": lambda of: spread([used.cpu_s for used in of.bare]),
        "ladder after it: CPU, s": lambda of: spread([used.cpu_s for used in of.after]),
        "ladder of a conforming clip: CPU, s": lambda of: spread([used.cpu_s for used in of.after_bare]),
        "peak memory, MB": lambda of: spread([used.peak_mb for used in of.ours]),
        "upload, MB": lambda of: f"{of.source_bytes / 1e6:.1f}",
        "made, MB": lambda of: f"{of.bytes_made / 1e6:.2f}",
        "written to disk, MB": lambda of: f"{of.disk_bytes / 1e6:.1f}",
    }
    for title, figure in rows.items():
        made.add_row(title, *map(figure, found.values()))
    return made


# ── In the other process ─────────────────────────────────────────────────────────


def _fix(clip: Path, folder: Path) -> None:
    """All that happens to an upload until it plays: it is probed and fixed, and that is probed and copied."""
    fixed = make_fixed(clip, probe(clip, TOOLS), Fit.CONTAIN, folder, TOOLS, lambda _: None)
    media = probe(fixed, TOOLS)
    if problems := rules.check(media):
        raise NotMeasured(f"{clip.name}: {problems[0].message}")
    (folder / "source").hardlink_to(fixed)
    make_copy(folder, media, 0.0, TOOLS)
    written = {path.stat().st_ino: path.stat().st_size for path in folder.iterdir()}
    figures = {"made": media.size_bytes, "disk": sum(written.values())}
    (folder / "written.json").write_text(json.dumps(figures))


def _ladder(clip: Path, folder: Path) -> None:
    """What a clip whose 720p plays gets besides."""
    (folder / "source").unlink(missing_ok=True)
    (folder / "source").hardlink_to(clip)
    have = (OutputName.P720, OutputName.POSTER)
    make_ladder(folder, probe(clip, TOOLS), have, 0.0, TOOLS, lambda _: None)


if __name__ == "__main__":
    {"fix": _fix, "ladder": _ladder}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
