"""Makes a file that keeps the spec of one that does not: its size, rate, codec, colours and bytes.

The new file is then checked and published as any upload. Uses no port.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from videos import tools
from videos.checking.fixes import colors_of
from videos.checking.geometry import MAX_CODED_PX
from videos.checking.rules import SPEC, Spec
from videos.errors import BadMedia, ToolExhausted
from videos.fix import Fit
from videos.making import color, commands
from videos.making.commands import Run
from videos.making.outputs import PicturesLost, SoundLost, limited_runs, tells_of_damage
from videos.model import Media
from videos.policy import FIX_TIMEOUT_S
from videos.tools import GIB, SAFE_INPUT, MediaTools

FIX_MEMORY_BYTES = 5 * GIB // 4  # address space; 4K in 10-bit HEVC runs in 1 GiB, and has 0.42 resident
THREADS = 3  # of decoder, filters and encoder each, however many processors there are: each takes memory
KEYFRAMES_EVERY = 60  # frames; HLS cuts there
NEARLY = 0.01  # a shape so near to that of the frame is stretched rather than given bars
# The encoder is as good as this unless that takes more bits than there are.
CRF, MAX_BIT_RATE = 20, 8_000_000
BUFFER_S = 1.0  # of the highest rate may be taken at once; more of it makes less of the bytes usable
X264_FULL = 0.9  # of its buffer is there at the start
SOUND_SHARE = 1 / 8  # of all bytes
SOUND_BIT_RATES = range(64_000, 128_001)
# From the time of a frame to its place at 30 fps. One that is next in line, but early or late by up to 18 ms,
# is next; else clocks that drift would drop and repeat frames for as long as they are half a frame off.
STEADY = (
    "st(0,T*{rate}); st(1,ld(2)+1); st(2,if(lt(abs(ld(0)-ld(1)),0.55),ld(1),round(ld(0)))); ld(2)/{rate}/TB"
)


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
        on_progress: receives the share that is done, 0.0 to 1.0, some times a second (0.0 while the sound is
            encoded); if it raises, ffmpeg is stopped.

    Raises:
        PicturesLost: the picture is damaged, or cannot be decoded.
        BadMedia: the ranges of its colours cannot be read.
        SoundLost: call again with ``media`` without its audio.
        ToolExhausted: it takes more time or memory than any file may.
        ToolFailed: try again.
    """
    deadline = time.monotonic() + FIX_TIMEOUT_S
    plan = _Plan(
        source=source,
        media=media,
        fit=fit,
        spec=spec,
        limited=limited_runs(source, media, using),
        table=_table(media, folder),
        sound=_encoded_sound(source, media, folder, using, spec, deadline, on_progress),
        target=folder / "fixed.mp4",
    )
    bit_rate = _bit_rate(plan)
    _run(fix_command(using, plan, bit_rate), media, spec, deadline, on_progress)
    if (excess := plan.target.stat().st_size / spec.max_bytes) > 1:  # noise may exceed what x264 is told
        bit_rate = int(bit_rate / excess * 0.9)
        _run(fix_command(using, plan, bit_rate), media, spec, deadline, on_progress)
    return plan.target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a command needs.

    Attributes:
        limited: the frames of limited range, where the range changes.
        table: maps the colours; None if matrix and range say all.
        sound: the encoded audio; None if there is none.
    """

    source: Path
    media: Media
    fit: Fit
    spec: Spec
    limited: Sequence[Run]
    table: Path | None
    sound: Path | None
    target: Path


def fix_command(using: MediaTools, plan: _Plan, bit_rate: int) -> list[str]:
    """The ffmpeg argv that decodes once, encodes the picture anew and copies the sound beside it.

    Prints its progress to standard output, and how many frames it decoded to standard error.
    """
    media = plan.media
    # The graph is built anew for a size that changes: each has bars of its own.
    decoder = {
        "max_pixels": MAX_CODED_PX,
        "threads": THREADS,
        "reinit_filter:v": int(bool(media.other_sizes)),
    }
    stream = commands.opened(plan.source, media, decoder=decoder)
    sound = [ffmpeg.input(str(plan.sound), **SAFE_INPUT)["a"]] if plan.sound else []
    fixed = ffmpeg.output(
        _fixed(stream[str(media.stream_index)], plan),
        *sound,
        str(plan.target),
        **{
            "c:a": "copy",
            "c:v": "libx264",
            **commands.SEARCH,
            "threads": THREADS,
            "crf": CRF,
            "maxrate": bit_rate,
            "bufsize": int(bit_rate * BUFFER_S),
            "g": KEYFRAMES_EVERY,
            "bsf:v": commands.PICTURE_ONLY["h264"],
            "metadata:s:v": "encoder=",
            "f": "mp4",
        },
        **commands.BT709,
        **commands.PRIVATE,
    )
    options = (*commands.PROGRESS, "-filter_complex_threads", str(THREADS))
    return commands.compiled(using, [fixed], *options, level="level+verbose")


# ── The picture ──────────────────────────────────────────────────────────────────


def _fixed(picture: ffmpeg.nodes.Stream, plan: _Plan) -> ffmpeg.nodes.Stream:
    """The picture as the spec wants it. What saves most comes first: fewer frames, then fewer pixels."""
    media, spec, colors = plan.media, plan.spec, colors_of(plan.media)
    tags = {"color_primaries": colors.primaries, "color_trc": colors.transfer, "colorspace": colors.matrix}
    if media.color_range:
        tags["range"] = media.color_range
    picture = commands.in_full_range(picture, media, plan.limited)
    # The matrix, which is applied here, and what is said of HDR.
    picture = picture.filter("sidedata", mode="delete").filter("setparams", **tags)
    if media.interlaced:
        picture = picture.filter("bwdif", mode="send_field", deint="interlaced")
    picture = picture.filter("setpts", STEADY.format(rate=f"{spec.max_frame_rate:g}"))
    picture = picture.filter("fps", fps=spec.max_frame_rate)
    picture = picture.filter("select", f"lt(n,{_frames(media, spec)})")  # unlike trim, goes on decoding
    turned = media.rotation in (90, 270)
    box = (spec.height_px, spec.width_px) if turned else (spec.width_px, spec.height_px)
    picture = _in_bt709(*_scaled(picture, box, plan.fit), plan.table)
    for name, options in commands.TURNS[media.rotation, media.mirrored]:
        picture = picture.filter(name, *options)
    if plan.fit is Fit.CONTAIN:
        picture = picture.filter("pad", spec.width_px, spec.height_px, -1, -1)
    return picture.filter("setsar", 1)


def _scaled(
    picture: ffmpeg.nodes.Stream, box: tuple[int, int], fit: Fit
) -> tuple[ffmpeg.nodes.Stream, tuple[str, str]]:
    """The picture, cropped if it must be, and the size to scale it to; both follow a size that changes."""
    width_px, height_px = box
    shape = width_px / height_px
    near = f"lt(abs(dar/{shape}-1),{NEARLY})"
    if fit is Fit.COVER:
        cropped = picture.filter("crop", f"min(iw,ih*{shape}/sar)", f"min(ih,iw*sar/{shape})")
        return cropped, (str(width_px), str(height_px))
    return picture, (
        f"if({near}+gte(dar,{shape}),{width_px},2*max(1,round({height_px}*dar/2)))",
        f"if({near}+lte(dar,{shape}),{height_px},2*max(1,round({width_px}/dar/2)))",
    )


def _in_bt709(picture: ffmpeg.nodes.Stream, size: tuple[str, str], table: Path | None) -> ffmpeg.nodes.Stream:
    """Scaled, and in limited BT.709, 8-bit 4:2:0."""
    to_bt709 = {"out_color_matrix": "bt709", "out_range": "tv"}
    if table:  # ffmpeg's lut3d is four times as fast with 16 bits as with 10
        picture = picture.filter("scale", *size).filter("format", "gbrp16le")
        picture = picture.filter("lut3d", file=str(table), interp="tetrahedral").filter("scale", **to_bt709)
    else:
        picture = picture.filter("scale", *size, **to_bt709)
    picture = picture.filter("format", "yuv420p")
    return picture.filter("setparams", color_primaries="bt709", color_trc="bt709")


def _table(media: Media, folder: Path) -> Path | None:
    colors = colors_of(media)
    return color.write_table(colors, folder / "colors.cube") if color.needs_table(colors) else None


# ── Bytes ────────────────────────────────────────────────────────────────────────


def _encoded_sound(
    source: Path,
    media: Media,
    folder: Path,
    using: MediaTools,
    spec: Spec,
    deadline: float,
    on_progress: Callable[[float], None],
) -> Path | None:
    """The audio as stereo AAC-LC in a file of its own, so that its size is known; None if there is none.

    Copied AAC could hold what is private.
    """
    if not media.audio:
        return None
    path = folder / "fixed-sound.mp4"
    affordable = int(8 * spec.max_bytes * SOUND_SHARE / media.duration_s)
    bit_rate = min(max(affordable, SOUND_BIT_RATES[0]), SOUND_BIT_RATES[-1])
    command = commands.sound_command(using, source, media, path, bit_rate=bit_rate)
    try:
        tools.run(command, timeout_s=_left_s(deadline), on_line=lambda _: on_progress(0.0))
    except BadMedia as error:
        raise SoundLost(str(error)) from None
    return path


def _bit_rate(plan: _Plan) -> int:
    """The highest rate that keeps the file within its bytes, whatever the picture is."""
    media, spec = plan.media, plan.spec
    sound_bytes = plan.sound.stat().st_size if plan.sound else 0
    room_bytes = spec.max_bytes - sound_bytes - _index_bytes(media, spec)
    seconds = _frames(media, spec) / spec.max_frame_rate + X264_FULL * BUFFER_S
    return max(1000, min(MAX_BIT_RATE, int(8 * room_bytes / seconds)))


def _index_bytes(media: Media, spec: Spec) -> int:
    """At most as much is in the file besides picture and sound: the tables of both, and their heads."""
    return 8_000 + 28 * _frames(media, spec) + int(16 * 50 * media.duration_s)


def _frames(media: Media, spec: Spec) -> int:
    return max(1, round(min(media.video_duration_s, spec.duration_limit_s) * spec.max_frame_rate))


# ── The run ──────────────────────────────────────────────────────────────────────

_DECODED = re.compile(r"Input stream #0:\d+ \(video\): \d+ packets read .*; (\d+) frames decoded")


def _run(
    command: list[str], media: Media, spec: Spec, deadline: float, on_progress: Callable[[float], None]
) -> None:
    """Raises PicturesLost if frames of the source are missing in what was decoded, or none can be."""
    damage: list[str] = []
    errors: list[str] = []
    decoded = 0

    def progressed(line: str) -> None:
        name, _, value = line.partition("=")
        if name == "frame" and value.isdecimal():
            on_progress(min(int(value) / _frames(media, spec), 1.0))

    def said(line: str) -> None:
        nonlocal decoded
        if "[error]" in line or "[fatal]" in line:
            errors.append(line)
        if tells_of_damage(line):
            damage.append(line)
        if counted := _DECODED.search(line):
            decoded += int(counted[1])

    try:
        tools.run(
            command,
            timeout_s=_left_s(deadline),
            memory_bytes=FIX_MEMORY_BYTES,
            on_line=progressed,
            on_complaint=said,
        )
    except BadMedia as error:  # whose last lines are chatter. The sound is our own, so it is not to blame
        raise PicturesLost(" / ".join(errors[-3:]) or str(error)) from None
    if damage:
        raise PicturesLost(f"{len(damage)} errors of the decoder, the first: {damage[0]}")
    if decoded < media.frame_count - media.skipped_frames:
        raise PicturesLost(f"{decoded} of {media.frame_count} frames were decoded.")


def _left_s(deadline: float) -> float:
    """Raises ToolExhausted if nothing is left."""
    if (left_s := deadline - time.monotonic()) <= 0:
        raise ToolExhausted(f"ffmpeg did not finish in {FIX_TIMEOUT_S:g} s.")
    return left_s
