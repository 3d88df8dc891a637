"""Makes a file that keeps the spec of one that does not: size, rate, codec, colours, bytes.

The new file is then checked and published as any upload.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from videos import tools
from videos.checking.fixes import MAX_CODED_PX, colors_of
from videos.checking.rules import SPEC, Spec
from videos.errors import BadMedia, ToolExhausted
from videos.fix import Fit
from videos.making import color, commands
from videos.making.outputs import PicturesLost, SoundLost, tells_of_damage
from videos.model import Media
from videos.policy import COPY_TIMEOUT_S, FIX_TIMEOUT_S
from videos.tools import GIB, SAFE_INPUT, MediaTools

FIX_MEMORY_BYTES = 3 * GIB  # address space
FRAME_RATE = 30
SOUND_BIT_RATE = 96_000
KEYFRAMES_EVERY = 60  # frames; HLS cuts there
NEARLY = 0.01  # a shape so near to that of the frame is stretched rather than given bars


def make_fixed(
    source: Path,
    media: Media,
    fit: Fit,
    folder: Path,
    using: MediaTools,
    on_progress: Callable[[float], None],
    *,
    spec: Spec = SPEC,
) -> Path:
    """Write ``fixed.mp4`` into ``folder``: H.264 and AAC-LC, as the spec wants it, with nothing private.

    Args:
        media: of a file without ``unfixable`` violations.
        folder: for this file and temporary ones; a private one.
        on_progress: receives the share that is done, 0.0 to 1.0, some times a second; if it raises, ffmpeg
            is stopped.

    Raises:
        PicturesLost: the picture is damaged.
        BadMedia: it cannot be decoded.
        SoundLost: call again with ``media`` without its audio.
        ToolExhausted: it takes more time or memory than any file may.
        ToolFailed: try again.
    """
    deadline = time.monotonic() + FIX_TIMEOUT_S
    sound = _encode_sound(source, media, folder, using)
    room_bytes = spec.max_bytes - _index_bytes(media) - (sound.stat().st_size if sound else 0)
    table = None
    if color.needs_table(colors := colors_of(media)):
        table = color.write_table(colors, folder / "colors.cube")
    plan = _Plan(source, media, fit, spec, table, sound, folder / "fixed.mp4")
    bit_rate = _bit_rate(room_bytes, media)
    _run(fix_command(using, plan, bit_rate), media, deadline, on_progress)
    if (made_bytes := plan.target.stat().st_size) > spec.max_bytes:
        bit_rate = int(bit_rate * spec.max_bytes / made_bytes * 0.97)
        _run(fix_command(using, plan, bit_rate), media, deadline, on_progress)
    if plan.target.stat().st_size > spec.max_bytes:
        raise BadMedia(f"The fixed file has {plan.target.stat().st_size:,} bytes.")
    return plan.target


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one command needs. ``table`` maps the colours, ``sound`` is the encoded audio; None without."""

    source: Path
    media: Media
    fit: Fit
    spec: Spec
    table: Path | None
    sound: Path | None
    target: Path


def fix_command(using: MediaTools, plan: _Plan, bit_rate: int) -> list[str]:
    """The ffmpeg argv that encodes the picture anew, and copies the encoded sound beside it.

    Prints its progress to standard output, and how many frames it decoded to standard error.
    """
    picture = commands.opened(plan.source, plan.media, max_pixels=MAX_CODED_PX)[str(plan.media.stream_index)]
    sound = [ffmpeg.input(str(plan.sound), **SAFE_INPUT)["a"]] if plan.sound else []
    fixed = ffmpeg.output(
        _fixed(picture, plan),
        *sound,
        str(plan.target),
        **{
            "c:a": "copy",
            "c:v": "libx264",
            "preset": "faster",
            "threads": 3,
            "crf": 20,
            "maxrate": bit_rate,
            "bufsize": bit_rate,
            "g": KEYFRAMES_EVERY,
            "bsf:v": commands.PICTURE_ONLY["h264"],
            "f": "mp4",
        },
        **commands.BT709,
        **commands.PRIVATE,
    )
    return commands.compiled(using, [fixed], "-progress", "pipe:1", level="level+verbose")


def _fixed(picture: ffmpeg.nodes.Stream, plan: _Plan) -> ffmpeg.nodes.Stream:
    """The picture as the spec wants it. What costs least and saves most comes first."""
    media, spec, colors = plan.media, plan.spec, colors_of(plan.media)
    tags = {"color_primaries": colors.primaries, "color_trc": colors.transfer, "colorspace": colors.matrix}
    if media.color_range:
        tags["range"] = media.color_range
    picture = picture.filter("sidedata", mode="delete", type="DISPLAYMATRIX").filter("setparams", **tags)
    if media.interlaced:
        picture = picture.filter("bwdif", mode="send_field", deint="interlaced")
    picture = picture.filter("fps", fps=FRAME_RATE)
    turned = media.rotation in (90, 270)
    box = (spec.height_px, spec.width_px) if turned else (spec.width_px, spec.height_px)
    picture = _scaled(picture, box, plan)
    for name, options in commands.TURNS[media.rotation, media.mirrored]:
        picture = picture.filter(name, *options)
    if plan.fit is Fit.CONTAIN:
        picture = picture.filter("pad", spec.width_px, spec.height_px, -1, -1)
    return picture.filter("setsar", 1)


def _scaled(picture: ffmpeg.nodes.Stream, box: tuple[int, int], plan: _Plan) -> ffmpeg.nodes.Stream:
    """Scaled into the box, or over it, in limited BT.709."""
    width_px, height_px = box
    shape = width_px / height_px
    if plan.fit is Fit.COVER:
        picture = picture.filter("crop", f"min(iw,ih*{shape}/sar)", f"min(ih,iw*sar/{shape})")
        size = (str(width_px), str(height_px))
    else:
        near = f"lt(abs(dar/{shape}-1),{NEARLY})"
        size = (
            f"if({near}+gte(dar,{shape}),{width_px},2*max(1,round({height_px}*dar/2)))",
            f"if({near}+lte(dar,{shape}),{height_px},2*max(1,round({width_px}/dar/2)))",
        )
    if not plan.table:
        picture = picture.filter("scale", *size, out_color_matrix="bt709", out_range="tv").filter(
            "format", "yuv420p"
        )
        return picture.filter("setparams", color_primaries="bt709", color_trc="bt709")
    picture = picture.filter("scale", *size).filter("format", "gbrp10le")
    picture = picture.filter("lut3d", str(plan.table), interp="tetrahedral")
    picture = picture.filter("setparams", color_primaries="bt709", color_trc="bt709")
    return picture.filter("scale", out_color_matrix="bt709", out_range="tv").filter("format", "yuv420p")


def _encode_sound(source: Path, media: Media, folder: Path, using: MediaTools) -> Path | None:
    """The audio as stereo AAC-LC, in a file of its own; None without."""
    if not media.audio:
        return None
    path = folder / "fixed-sound.mp4"
    try:
        command = commands.sound_command(using, source, media, path, bit_rate=SOUND_BIT_RATE)
        tools.run(command, timeout_s=COPY_TIMEOUT_S)
    except BadMedia as error:
        raise SoundLost(str(error)) from None
    return path


def _index_bytes(media: Media) -> int:
    """At most as much is in the file besides pictures and sound."""
    return 4_000 + 40 * round(media.duration_s * FRAME_RATE)


def _bit_rate(room_bytes: int, media: Media) -> int:
    return max(100_000, min(6_000_000, int(8 * room_bytes / (media.duration_s + 1))))


_DECODED = re.compile(r"Input stream #0:\d+ \(video\): \d+ packets read .*; (\d+) frames decoded")


def _run(command: list[str], media: Media, deadline: float, on_progress: Callable[[float], None]) -> None:
    """Raises PicturesLost if frames of the source are missing in what was decoded."""
    expected = max(1.0, media.video_duration_s * FRAME_RATE)
    damage: list[str] = []
    decoded: list[int] = []

    def progressed(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "frame" and value.isdecimal():
            on_progress(min(int(value) / expected, 1.0))

    def said(line: str) -> None:
        if tells_of_damage(line):
            damage.append(line)
        if counted := _DECODED.search(line):
            decoded.append(int(counted[1]))

    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise ToolExhausted(f"ffmpeg did not finish in {FIX_TIMEOUT_S:g} s.")
    tools.run(command, timeout_s=left_s, memory_bytes=FIX_MEMORY_BYTES, on_line=progressed, on_complaint=said)
    if damage:
        raise PicturesLost(f"{len(damage)} errors of the decoder, the first: {damage[0]}")
    if sum(decoded) < media.frame_count - media.skipped_frames:
        raise PicturesLost(f"{sum(decoded)} of {media.frame_count} frames were decoded.")
