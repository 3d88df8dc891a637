"""The ffmpeg commands that produce the outputs (pure functions that return argv)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import ffmpeg

from videos.checking.probe import SEVERAL_DESCRIPTIONS
from videos.model import Audio, Media, Sheet
from videos.tools import SAFE_INPUT, MediaTools

# No tags, chapters or stream titles of the source, and no encoder version.
PRIVATE = {
    "map_metadata": -1,
    "map_chapters": -1,
    "fflags": "+bitexact",
    "flags": "+bitexact",
    "dn": None,
    "sn": None,
}
# Slices and parameter sets only. Other NAL units hold location and time (cameras) or settings (x264). The end
# of a sequence stays, too (HEVC 36, 37): without it, frames refer to those of another recording.
PICTURE_ONLY = {
    "h264": "filter_units=pass_types=1-5|7|8",
    "hevc": "filter_units=pass_types=0-9|16-21|32-34|36|37",
}
# Every accepted file is BT.709, but not every camera tags its bitstream.
_BT709_TAGS = "colour_primaries=1:transfer_characteristics=1:matrix_coefficients=1:video_full_range_flag=0"
TAGGED_BT709 = {"h264": f"h264_metadata={_BT709_TAGS}", "hevc": f"hevc_metadata={_BT709_TAGS}"}
# Fragments inside a plain MP4; fragments.put_index_first cuts them anew for HLS.
FRAGMENTED = {
    "f": "mp4",
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov+default_base_moof",
}
# Filters for each display matrix: by degrees clockwise, and mirrored or not.
TURNS: dict[tuple[int, bool], tuple[tuple[str, tuple[str, ...]], ...]] = {
    (0, False): (),
    (0, True): (("vflip", ()),),
    (90, False): (("transpose", ("clock",)),),
    (90, True): (("transpose", ("cclock_flip",)),),
    (180, False): (("hflip", ()), ("vflip", ())),
    (180, True): (("hflip", ()),),
    (270, False): (("transpose", ("cclock",)),),
    (270, True): (("transpose", ("clock_flip",)),),
}
MIN_SEEK_S = 0.001
# How much x264 searches.
SEARCH = {
    "preset": "faster",
    "subq": 7,  # as in medium: most of its gain for a tenth of the time and no extra memory
    "refs": 1,  # with dia: a seventh less time, VMAF within 0.3 on five clips
    "motion-est": "dia",
}
PROGRESS = ("-progress", "pipe:1")  # lines on standard output, twice a second
BT709 = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "color_range": "tv"}


Run = tuple[int, int]  # of frames, from … to, both counted from 0


@dataclass(frozen=True, slots=True)
class Target:
    """One output file and its picture size."""

    path: Path
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Poster:
    """The frame at ``time_s``: a JPEG, and a tiny raw RGB picture for the placeholder."""

    target: Target
    tiny: Target
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sprite:
    """A sprite sheet of small stills."""

    target: Target
    sheet: Sheet


def copy_command(
    tools: MediaTools, source: Path, media: Media, target: Path, *, tagged: bool = True
) -> list[str]:
    """The ffmpeg argv that stream-copies the video into a fragmented MP4.

    The copy keeps rotation and sample aspect ratio; players apply them. ``tagged`` writes colour
    tags into the bitstream, which requires parsing all its headers.
    """
    stream = opened(source, media)
    copy = {
        "c": "copy",
        "tag:v": {"h264": "avc1", "hevc": "hvc1"}[media.codec],
        "bsf:v": ",".join([PICTURE_ONLY[media.codec], *([TAGGED_BT709[media.codec]] if tagged else [])]),
    }
    copied = ffmpeg.output(
        stream[str(media.stream_index)],
        *_sound(stream, source, media),
        str(target),
        **copy,
        **PRIVATE,
        **FRAGMENTED,
    )
    return compiled(tools, [copied])


def poster_command(tools: MediaTools, source: Path, media: Media, poster: Poster) -> list[str]:
    """The ffmpeg argv that makes the poster alone."""
    picture = opened(source, media)[str(media.stream_index)]
    return compiled(tools, _poster(_sought(source, media, poster) or _upright(picture, media), poster))


def sound_path(source: Path) -> Path:
    """Where the encoded audio of an upload lies."""
    return source.with_name("sound.mp4")


def sound_command(
    tools: MediaTools, source: Path, media: Media, target: Path | None = None, *, bit_rate: int = 128_000
) -> list[str]:
    """The ffmpeg argv that encodes the audio, as long as the whole clip, into ``sound_path`` by default.

    On its own and once for all renditions: ffmpeg 7.1 can hang if it encodes pictures and filtered sound
    for several files at once. Prints its progress to standard output.
    """
    assert media.audio
    # One sample rate for all parts; silence in the gaps, before the first sound and after the last. A decoder
    # fills up the last frame of AAC, which makes a clip of 60.1 s too long.
    filters = "aresample=48000:async=1"
    if SEVERAL_DESCRIPTIONS not in media.audio.copy_obstacles:  # each would start the filters anew
        filters += f":first_pts=0,apad=whole_dur={media.duration_s},atrim=end={media.duration_s}"
    encoded = ffmpeg.output(
        opened(source, media)[str(media.audio.stream_index)],
        str(target or sound_path(source)),
        **{"filter:a": filters, "c:a": "aac", "b:a": bit_rate, "ac": 2},
        **PRIVATE,
    )
    return compiled(tools, [encoded], *PROGRESS)


def ladder_command(
    tools: MediaTools,
    source: Path,
    media: Media,
    targets: Sequence[Target],
    sprite: Sprite | None = None,
    poster: Poster | None = None,
    *,
    limited: Sequence[Run] = (),
) -> list[str]:
    """The ffmpeg argv that decodes once and encodes the sprite and every target (upright H.264 and AAC).

    Keyframes stay where the source has them, so that segments align across renditions.
    Prints its progress to standard output. ``limited`` is the frames of limited range, where the range
    changes in H.264 that starts with full range.
    """
    stream = opened(source, media)
    copies = _upright(in_full_range(stream[str(media.stream_index)], media, limited), media).split()
    outputs = [
        ffmpeg.output(
            _scaled(copies[index], target.width_px, target.height_px).filter("format", "yuv420p"),
            *_sound(stream, source, media),
            str(target.path),
            **{
                "c:a": "copy",
                "c:v": "libx264",
                **SEARCH,
                "threads": 2,  # each holds frames in memory: with three per target, HEVC took 356 MB
                "crf": 23,
                # Bits are spent by the frame, not by its duration: one that is shown briefly stays sharp.
                "x264-params": "force-cfr=1:fps=30",
                "force_key_frames": "source",
                "sc_threshold": 0,
                "g": 99999,  # no other keyframes
            },
            **_bit_rate_cap(media, target),
            **{"bsf:v": PICTURE_ONLY["h264"], "fps_mode": "passthrough"},
            **BT709,
            **PRIVATE,
            **FRAGMENTED,
        )
        for index, target in enumerate(targets)
    ]
    if sprite:
        outputs.append(_sprite(copies[len(targets)], sprite))
    if poster:
        copy = copies[len(targets) + 1]
        shown = copy.filter("trim", start=poster.time_s) if limited else _sought(source, media, poster)
        outputs += _poster(shown or copy, poster)
    # Without -xerror, which would fail on what ffmpeg repairs. Lost frames are counted, damage is logged.
    return compiled(tools, outputs, *PROGRESS, level="level+warning")


def compiled(tools: MediaTools, outputs: Sequence[object], *options: str, level: str = "error") -> list[str]:
    merged = ffmpeg.merge_outputs(*outputs).global_args("-v", level, "-nostdin", "-nostats", *options)
    command: list[str] = ffmpeg.compile(merged, cmd=tools.ffmpeg, overwrite_output=True)
    return command


def opened(
    source: Path, media: Media, *, at_s: float = 0.0, decoder: Mapping[str, object] = MappingProxyType({})
) -> ffmpeg.nodes.Stream:
    """The upload as an input, from ``at_s`` on; ``decoder`` has more options."""
    # Our own filters rotate, by the matrix alone. A graph that is built anew starts a new sprite sheet.
    options: dict[str, object] = {"noautorotate": None, "reinit_filter:v": 0, **decoder}
    if at_s or media.starts_hidden:
        options["ss"] = f"{at_s:.3f}"  # ffmpeg reads no exponent
    if media.starts_hidden:
        options["seek_timestamp"] = 1  # else a seek counts from the hidden beginning
    return ffmpeg.input(str(source), **SAFE_INPUT, **options)


def _upright(picture: ffmpeg.nodes.Stream, media: Media) -> ffmpeg.nodes.Stream:
    """The picture as a player shows it: rotated, progressive, tagged as BT.709."""
    # Tag the frames, since frame tags override encoder options; and before scaling, since swscale assumes
    # BT.601 for untagged frames.
    tags = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    if media.color_range:
        tags["range"] = media.color_range
    picture = picture.filter("sidedata", mode="delete", type="DISPLAYMATRIX").filter("setparams", **tags)
    if media.interlaced:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    for name, options in TURNS[media.rotation, media.mirrored]:
        picture = picture.filter(name, *options)
    return picture


def in_full_range(picture: ffmpeg.nodes.Stream, media: Media, limited: Sequence[Run]) -> ffmpeg.nodes.Stream:
    """``picture`` with these runs of frames stretched to full range, as the others are.

    ffmpeg's H.264 decoder keeps the pixel format of the first frame, and swscale takes every frame of
    yuvj420p for full range, whatever its own tag is.
    """
    if not limited:
        return picture
    stretched = {
        "y": "clip((val-16)*255/219,0,255)",
        "u": "clip((val-128)*255/224+128,0,255)",
        "v": "clip((val-128)*255/224+128,0,255)",
    }
    when = "+".join(f"between(n,{first},{last})" for first, last in limited)
    return picture.filter("lutyuv", **stretched, enable=when).filter("setparams", range="pc")


def _scaled(video: ffmpeg.nodes.Stream, width_px: int, height_px: int) -> ffmpeg.nodes.Stream:
    """``video`` at this size with square pixels in limited range."""
    return video.filter("scale", width_px, height_px, out_range="tv").filter("setsar", 1)


def _sought(source: Path, media: Media, poster: Poster) -> ffmpeg.nodes.Stream | None:
    """The picture from ``time_s`` on, from a separate input that seeks; None if that is the start."""
    if poster.time_s < MIN_SEEK_S:
        return None
    stream = opened(source, media, at_s=poster.time_s)
    return _upright(stream[str(media.stream_index)], media)


def _poster(picture: ffmpeg.nodes.Stream, poster: Poster) -> list[object]:
    """Both poster outputs, of the first frame."""
    copies = _scaled(picture, poster.target.width_px, poster.target.height_px).split()
    tiny = copies[1].filter("scale", poster.tiny.width_px, poster.tiny.height_px).filter("format", "rgb24")
    return [
        _still(copies[0], poster.target.path),
        ffmpeg.output(tiny, str(poster.tiny.path), **{"frames:v": 1, "f": "rawvideo"}),
    ]


def _sprite(video: ffmpeg.nodes.Stream, sprite: Sprite) -> object:
    """A still from the middle of every interval; the last one is repeated to fill the sheet.

    The sheet is rewritten with every still, because ffmpeg reports progress only once all of its
    outputs have started.
    """
    sheet = sprite.sheet
    spaced = video.filter("fps", fps=1 / sheet.every_s, eof_action="pass")
    spaced = spaced.filter("tpad", stop_mode="clone", stop=sheet.tiles)
    stills = _scaled(spaced, sheet.tile_width_px, sheet.tile_height_px)
    rows = -(-sheet.tiles // sheet.columns)
    overlap = sheet.tiles - 1
    sheets = stills.filter(
        "tile", layout=f"{sheet.columns}x{rows}", nb_frames=sheet.tiles, overlap=overlap, init_padding=overlap
    )
    return _still(sheets, sprite.target.path, frames=sheet.tiles)


def _still(video: ffmpeg.nodes.Stream, path: Path, frames: int = 1) -> object:
    # JPEG is always full-range BT.601.
    picture = video.filter("scale", out_range="pc", out_color_matrix="bt601").filter("format", "yuvj420p")
    picture = picture.filter("sidedata", mode="delete")  # the source's colour profile
    return ffmpeg.output(
        picture, str(path), **{"frames:v": frames, "update": 1, "q:v": 4, "c:v": "mjpeg"}, **PRIVATE
    )


def _sound(stream: ffmpeg.nodes.Stream, source: Path, media: Media) -> list[ffmpeg.nodes.Stream]:
    """The audio, to be copied: the upload's own, or what ``sound_command`` has made of it."""
    if not media.audio:
        return []
    if can_copy_sound(media.audio):
        return [stream[str(media.audio.stream_index)]]
    return [ffmpeg.input(str(sound_path(source)), **SAFE_INPUT)["a"]]


def can_copy_sound(audio: Audio) -> bool:
    """Whether a stream copy of the audio plays everywhere: AAC-LC in stereo or mono, without obstacles."""
    return audio.codec == "aac" and audio.profile == "LC" and audio.channels <= 2 and not audio.copy_obstacles


def _bit_rate_cap(media: Media, target: Target) -> dict[str, object]:
    """Rate limits that keep a rendition no larger than its source, scaled down for smaller pictures.

    x264 may exceed ``maxrate`` by half the buffer: half a second's worth, too much for a
    short clip. A single frame needs a buffer it fits into.
    """
    duration_s = max(media.duration_s, 1 / 30)
    source_bits = media.bit_rate * duration_s
    container_bits = 8 * (3000 + 24 * media.frame_count)  # both indexes
    available_bits = max(source_bits - max(0.04 * source_bits, container_bits), source_bits / 2)
    bufsize = max(available_bits / (duration_s + 0.5), min(100_000, available_bits / 2))
    share = (target.width_px * target.height_px / (720 * 1280)) ** 0.75
    maxrate = min(
        max(available_bits * share / duration_s, 100_000), (available_bits - bufsize / 2) / duration_s
    )
    return {"maxrate": max(1000, int(maxrate)), "bufsize": max(1000, int(bufsize))}
