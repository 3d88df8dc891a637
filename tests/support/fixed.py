"""Clips as phones record them, and what a fix makes of them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.clips import ffmpeg, make_clip, rewrap
from support.cases.parts import numbered
from support.color_science import Vector, ycbcr
from support.films import Film
from support.media_tools import TOOLS
from videos.checking import rules
from videos.checking.probe import probe
from videos.errors import Violation
from videos.fix import Fit
from videos.making.fixing import make_fixed
from videos.model import Media

# How a phone that is held so writes an upright picture, and how it says so.
HELD = {
    "upright": ("null", ()),
    "on its right": ("transpose=clock", ("-display_rotation", "90")),
    "upside down": ("hflip,vflip", ("-display_rotation", "180")),
    "on its left": ("transpose=cclock", ("-display_rotation", "270")),
    "mirrored": ("hflip", ("-display_hflip",)),
}


@dataclass(frozen=True)
class Fixed:
    """A fix: what came in, what came out, and both as measured."""

    source: Path
    before: Media
    path: Path
    after: Media

    @property
    def problems(self) -> tuple[Violation, ...]:
        return rules.check(self.after)

    @property
    def film(self) -> Film:
        return Film(self.path)

    def part(self, width_px: int, height_px: int, left_px: int, top_px: int) -> Film:
        """What it shows in a part of the frame, as a film of its own."""
        path = self.path.with_name("part.mp4")
        crop = f"crop={width_px}:{height_px}:{left_px}:{top_px}"
        ffmpeg("-i", str(self.path), "-vf", crop, "-an", "-c:v", "libx264", "-qp", "0", str(path))
        return Film(path)


def fix(source: Path, folder: Path, fit: Fit = Fit.CONTAIN) -> Fixed:
    folder.mkdir(exist_ok=True)
    before = probe(source, TOOLS)
    path = make_fixed(source, before, fit, folder, TOOLS, lambda _: None)
    return Fixed(source, before, path, probe(path, TOOLS))


def recorded(path: Path, *, held: str = "upright", before: str = "null", **wanted: object) -> Path:
    """A clip whose pictures show their numbers, and which side is up, as the phone was held."""
    turn, says = HELD[held]
    flat = path.with_name(f"flat-{path.name}")
    make_clip(flat, video_filter=f"{before},{numbered()},{turn}", **wanted)  # type: ignore[arg-type]
    return rewrap(flat, path, before=says)


# ── Colours ──────────────────────────────────────────────────────────────────────

COLUMNS, ROWS = 4, 6
PATCH_PX = (180, 212)  # 720x1272, so that patches begin at even rows


def chart(
    path: Path, colors: Sequence[Vector], tags: str, matrix: str, *, full: bool = False, bits: int = 10
) -> Path:
    """A still clip of patches in these R'G'B', in whatever space the tags say."""
    width_px, height_px = PATCH_PX
    planes = []
    for plane, shrink in enumerate((1, 2, 2)):
        for row in range(ROWS):
            codes = [
                ycbcr(colors[row * COLUMNS + column], matrix, full=full, bits=bits)[plane]
                for column in range(COLUMNS)
            ]
            line = b"".join(
                code.to_bytes(2 if bits > 8 else 1, "little") * (width_px // shrink) for code in codes
            )
            planes.append(line * (height_px // shrink))
    raw = path.with_suffix(".yuv")
    raw.write_bytes(b"".join(planes) * 3)
    pixels = {8: "yuvj420p" if full else "yuv420p", 10: "yuv420p10le"}[bits]
    size = f"{COLUMNS * width_px}x{ROWS * height_px}"
    ffmpeg(
        "-f", "rawvideo", "-pix_fmt", pixels, "-s", size, "-r", "30", "-i", str(raw),
        "-vf", f"setparams={tags}", "-c:v", "libx264", "-qp", "4", str(path),
    )  # fmt: skip
    return path


def patches(path: Path, size_px: tuple[int, int] = (720, 1280)) -> list[Vector]:
    """R'G'B' from 0 to 1 in the middle of each patch of a chart that fills a frame of BT.709."""
    raw = path.with_suffix(".rgb")
    width_px, height_px = size_px
    still = ("-frames:v", "1", "-vf", "format=gbrp16le", "-f", "rawvideo")
    ffmpeg("-i", str(path), *still, str(raw))
    data = raw.read_bytes()
    plane = 2 * width_px * height_px
    found = []
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = int((column + 0.5) * width_px / COLUMNS), int((row + 0.5) * height_px / ROWS)
            at = 2 * (y * width_px + x)
            green, blue, red = (
                int.from_bytes(data[place + at : place + at + 2], "little") / 65535
                for place in (0, plane, 2 * plane)
            )
            found.append((red, green, blue))
    return found


def zscaled(source: Path, path: Path, graph: str) -> Path:
    """The same through another ffmpeg, which has zscale; skips the test where there is none."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-i",
        str(source),
        "-vf",
        graph,
    ]
    subprocess.run([*command, "-c:v", "libx264", "-qp", "4", str(path)], check=True)
    return path
