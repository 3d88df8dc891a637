"""Produces the output files of a checked clip. Uses no port; publishing is up to the step.

The folder holds the clip as ``source``; the outputs are written beside it.

Every function raises BadMedia if a tool cannot process the clip, and ToolFailed if a retry may succeed.
"""

import re
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, groupby
from pathlib import Path

from videos import tools
from videos.checking import ffprobe
from videos.checking.timing import rate_of
from videos.errors import BadMedia
from videos.making import commands, stills
from videos.making.commands import Poster, Run, Sprite, Target
from videos.model import LADDER_PX, Media, OutputName, Segments, Sheet
from videos.mp4.fragments import Rendition, put_index_first
from videos.policy import COPY_TIMEOUT_S, LADDER_TIMEOUT_S
from videos.tools import GIB, MediaTools

LADDER_MEMORY_BYTES = 2 * GIB  # address space; x264 at 720x1280 stays under 0.4 GiB resident
LIMITED = "tv"  # the colour range
COPYABLE_PIXELS = ("yuv420p",)
MAX_LOST_SOUND_S = 0.25  # priming, padding, and a damaged frame or two
# Log lines of a video decoder that mean damaged frames.
_DAMAGE = re.compile(r"\[(?:dec:)?(?:h264|hevc) @ \w+\] (?:\[(?:error|fatal)\]|\[warning\] corrupt decoded)")
# Errors about references, as in a clip that was cut without re-encoding; the decoder recovers from them.
_HOUSEKEEPING = re.compile(
    "mmco: unref short|co located POCs|number of reference frames|illegal short term|illegal memory"
    "|Could not find ref with POC|Late SEI|want to help|reference picture missing|Increasing reorder"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file to publish under ``name``."""

    name: OutputName
    path: Path
    width_px: int
    height_px: int
    codec: str
    content_type: str
    segments: Segments | None = None
    sheet: Sheet | None = None


@dataclass(frozen=True, slots=True)
class MadeFiles:
    """The files of one run. ``blurhash`` is "" unless the poster is among them."""

    files: tuple[File, ...]
    blurhash: str = ""


class SoundLost(Exception):
    """A rendition lost audio that the source has. All renditions must go without."""


class PicturesLost(Exception):
    """Frames of the source are missing or damaged, so no rendition can be complete."""


def can_be_copied(media: Media) -> bool:
    """Whether a stream copy plays on phones and leaks nothing: H.264 or HEVC, 8-bit 4:2:0, limited range.

    False if an edit list hides frames or the container crops the picture: a copy would contain
    what its author cut off. False if H.264 keyframes are marked only by an SEI message, since
    SEI messages are removed.
    """
    plain = media.pixel_format in COPYABLE_PIXELS and media.color_range != "pc"
    whole = not media.hidden_frames and not media.cropped and media.closed_gops
    return plain and whole and not media.copy_obstacles


def copy_name(media: Media) -> OutputName:
    """The output name of the stream copy; 720p plays everywhere."""
    if media.codec == "hevc":
        return OutputName.P720_HEVC
    return OutputName.P720 if media.upright else OutputName.P720_TURNED


def make_copy(folder: Path, media: Media, poster_time_s: float, using: MediaTools) -> MadeFiles:
    """A stream copy of the video, and the poster.

    Raises:
        BadMedia: it cannot be copied without loss.
        SoundLost: the copy has less audio than the source.
    """
    name = copy_name(media)
    target = Target(folder / name, media.width_px, media.height_px)
    poster = _poster(folder, media, poster_time_s)
    drawn = commands.poster_command(using, folder / "source", media, poster)
    # Side by side: on two processors, a clip of 60 s is playable a tenth of a second sooner.
    with ThreadPoolExecutor(1) as beside:
        drawing = beside.submit(tools.run, drawn, timeout_s=COPY_TIMEOUT_S)
        _encode_sound(folder, media, using)
        _copy(folder, media, target.path, using)
        rendition, file = _finished(name, target, media.codec)
        drawing.result()
    if not _same_times(rendition.shown_at_s, media):
        raise BadMedia(
            f"The copy has {len(rendition.shown_at_s)} of {media.frame_count} frames, or other gaps."
        )
    _check_sound(rendition, media)
    files = (file, _picture(OutputName.POSTER, poster.target))
    return MadeFiles(files, blurhash=stills.placeholder(poster.tiny.path))


def make_ladder(
    folder: Path,
    media: Media,
    published: Sequence[str],
    poster_time_s: float,
    using: MediaTools,
    on_progress: Callable[[str], None],
) -> MadeFiles:
    """Every output not in ``published``, in one run that decodes once.

    ``on_progress`` receives each line of ffmpeg's ``-progress``; if it raises, ffmpeg is stopped.

    Raises:
        PicturesLost: the file is damaged.
        SoundLost: call again with ``media`` without its audio.
    """
    damage: list[str] = []
    missing = [name for name in LADDER_PX if name not in published]
    targets = [Target(folder / name, *LADDER_PX[name]) for name in missing]
    _encode_sound(folder, media, using)
    sheet = stills.sheet(media.duration_s)
    sprite = Sprite(Target(folder / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    poster = None if OutputName.POSTER in published else _poster(folder, media, poster_time_s)
    tools.run(
        commands.ladder_command(
            using,
            folder / "source",
            media,
            targets,
            sprite,
            poster,
            limited=limited_runs(folder / "source", media, using),
        ),
        timeout_s=LADDER_TIMEOUT_S,
        memory_bytes=LADDER_MEMORY_BYTES,
        on_line=on_progress,
        on_complaint=lambda line: damage.append(line) if tells_of_damage(line) else None,
    )
    if damage:
        raise PicturesLost(f"{len(damage)} errors of the decoder, the first: {damage[0]}")
    files = []
    for name, target in zip(missing, targets, strict=True):
        rendition, file = _finished(name, target, "h264")
        if len(rendition.shown_at_s) < media.frame_count - media.skipped_frames:
            raise PicturesLost(f"{len(rendition.shown_at_s)} of {media.frame_count} frames were decoded.")
        _check_sound(rendition, media)
        files.append(file)
    files.append(_picture(OutputName.SPRITE, sprite.target, sheet))
    if not poster:
        return MadeFiles(tuple(files))
    files.append(_picture(OutputName.POSTER, poster.target))
    return MadeFiles(tuple(files), blurhash=stills.placeholder(poster.tiny.path))


def _copy(folder: Path, media: Media, to: Path, using: MediaTools) -> None:
    """Copy the streams, with colour tags where there are none: that takes a third of the time."""

    def copy(*, tagged: bool) -> None:
        command = commands.copy_command(using, folder / "source", media, to, tagged=tagged)
        tools.run(command, timeout_s=COPY_TIMEOUT_S, on_one_processor=True)

    try:
        copy(tagged=not media.tagged)
    except BadMedia:  # writing the colour tags may fail on unusual headers
        if media.tagged:
            raise
        copy(tagged=False)


def _encode_sound(folder: Path, media: Media, using: MediaTools) -> None:
    """Encode the audio beside the clip, unless it is copied or was encoded before."""
    source = folder / "source"
    if media.audio and not commands.can_copy_sound(media.audio) and not commands.sound_path(source).exists():
        tools.run(commands.sound_command(using, source, media), timeout_s=COPY_TIMEOUT_S)


def limited_runs(source: Path, media: Media, using: MediaTools) -> list[Run]:
    """The frames of limited range, in runs, if the decoder cannot tell them apart by their format."""
    if not media.color_range_changes or not media.pixel_format.startswith("yuvj"):
        return []
    ranges = ffprobe.decode_ranges(source, media.stream_index, using)
    runs = [(of, len(list(run))) for of, run in groupby(ranges)]
    starts = accumulate((length for _, length in runs), initial=0)
    return [
        (start, start + length - 1)
        for start, (of, length) in zip(starts, runs, strict=False)
        if of == LIMITED
    ]


def _poster(folder: Path, media: Media, time_s: float) -> Poster:
    """A poster at ``time_s``, or of the last frame if the clip is shorter."""
    last_s = (media.frame_count - 1) / media.frame_rate if media.frame_rate else 0.0
    return Poster(
        Target(folder / "poster.jpg", *stills.POSTER_PX),
        Target(folder / "tiny.rgb", *stills.TINY_PX),
        min(time_s, max(0.0, last_s - 0.1)),
    )


def _finished(name: OutputName, written: Target, codec: str) -> tuple[Rendition, File]:
    path = written.path.with_suffix(".mp4")
    try:
        rendition = put_index_first(written.path, path)
    except (ArithmeticError, LookupError, ValueError, StopIteration, struct.error) as error:
        raise BadMedia(f"ffmpeg wrote an unexpected file: {error!r}") from error
    file = File(name, path, written.width_px, written.height_px, codec, "video/mp4", rendition.segments)
    return rendition, file


def _same_times(shown_at_s: Sequence[float], media: Media) -> bool:
    """Whether the copy has as many frames as the source, at the same rate and with the same gaps."""
    if len(shown_at_s) != media.frame_count:
        return False
    measured = rate_of([round(at * 1_000_000) for at in shown_at_s], Fraction(1, 1_000_000))
    rate, odd_gap_share = measured or (media.frame_rate, media.odd_gap_share)
    return abs(rate - media.frame_rate) < 0.02 and abs(odd_gap_share - media.odd_gap_share) < 0.02


def _check_sound(rendition: Rendition, media: Media) -> None:
    if media.audio and rendition.audio_s < media.audio.duration_s - MAX_LOST_SOUND_S:
        raise SoundLost(
            f"The output has {rendition.audio_s:.2f} s of {media.audio.duration_s:.2f} s of audio."
        )


def tells_of_damage(line: str) -> bool:
    """Whether the decoder reports a damaged frame, and not only how it recovered from odd references."""
    return bool(_DAMAGE.search(line)) and not _HOUSEKEEPING.search(line)


def _picture(name: OutputName, target: Target, sheet: Sheet | None = None) -> File:
    return File(name, target.path, target.width_px, target.height_px, "mjpeg", "image/jpeg", sheet=sheet)
