"""ffprobe, ffmpeg and libmagic: build argv (pure), run it (one function).

Every command forces the mov demuxer. A renamed playlist would otherwise make ffprobe open
other files, whatever ``-protocol_whitelist`` says.
"""

import contextlib
import re
import resource
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import ffmpeg

from videos.errors import BadMedia, ToolFailed
from videos.model import Media, Sheet

GIB = 1024**3
MOST_PACKETS = 50_000  # ten minutes of 60 fps with sound; a bound for files made to be slow
SAFE_INPUT = {"f": "mov", "protocol_whitelist": "file,pipe"}
# Nothing of the source's tags, chapters or stream titles, and no version of ours.
PRIVATE = {
    "map_metadata": -1,
    "map_chapters": -1,
    "fflags": "+bitexact",
    "flags": "+bitexact",
    "dn": None,
    "sn": None,
}
# Slices and their parameters. In other NAL units cameras hide place and time, and x264 its settings.
PICTURE_ONLY = {"h264": "filter_units=pass_types=1-5|7|8", "hevc": "filter_units=pass_types=0-9|16-21|32-34"}
# Of what we accept, nothing is in other colours; but not every camera says so in the bitstream.
_SAID = "colour_primaries=1:transfer_characteristics=1:matrix_coefficients=1:video_full_range_flag=0"
TAGGED_BT709 = {"h264": f"h264_metadata={_SAID}", "hevc": f"hevc_metadata={_SAID}"}
# Fragments for HLS inside a plain MP4, cut at keyframes; fragments.put_index_first does the rest.
FRAGMENTED = {
    "f": "mp4",
    "movflags": "+hybrid_fragmented+frag_keyframe+delay_moov+default_base_moof",
    "min_frag_duration": 1_500_000,  # in µs as decoded, where keyframes come some frames early: two seconds
}
BT709 = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709", "color_range": "tv"}


@dataclass(frozen=True, slots=True)
class MediaTools:
    """Where the programs are; names are looked up on PATH."""

    ffmpeg: str = "ffmpeg"
    ffprobe: str = "ffprobe"


@dataclass(frozen=True, slots=True)
class Target:
    """One file to make, and the size of its picture."""

    path: Path
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Poster:
    """The picture at ``time_s``: a JPEG, and a tiny one of raw RGB to compute a placeholder of."""

    target: Target
    tiny: Target
    time_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Sprite:
    """Small stills on one sheet."""

    target: Target
    sheet: Sheet


def streams_command(tools: MediaTools, source: Path) -> list[str]:
    """The ffprobe argv for what the headers say and every packet of every track, as JSON."""
    entries = "format=format_name:packet=stream_index,pts,duration,size,pos,flags:stream"
    # Times and flags come from the boxes; parsing every sample as well takes ten seconds of broken ones.
    bounded = ["-fflags", "+noparse", "-read_intervals", f"%+#{MOST_PACKETS}"]
    return [
        tools.ffprobe,
        *_probe_input(),
        *bounded,
        "-show_entries",
        entries,
        "-of",
        "json=compact=1",
        str(source),
    ]


def keyframes_command(tools: MediaTools, source: Path, stream_index: int) -> list[str]:
    """The ffprobe argv that decodes every keyframe: a new size or colour can only begin at one."""
    entries = (
        "frame=width,height,sample_aspect_ratio,pix_fmt,"
        "color_range,color_space,color_primaries,color_transfer:frame_side_data="
    )
    # An edit list may hide the only keyframe of a trimmed clip; it is decoded all the same.
    keyframes = [
        "-ignore_editlist",
        "1",
        "-skip_frame",
        "nokey",
        "-skip_loop_filter",  # a third of the time, for looks that nobody looks at
        "all",
        "-select_streams",
        str(stream_index),
        "-show_entries",
        entries,
    ]
    return [tools.ffprobe, *_probe_input(), *keyframes, "-of", "json=compact=1", str(source)]


def _probe_input() -> list[str]:
    return ["-v", "error", *(word for name, value in SAFE_INPUT.items() for word in (f"-{name}", value))]


def loudness_command(tools: MediaTools, source: Path, stream_index: int) -> list[str]:
    """The ffmpeg argv that measures the sound as EBU R 128 has it, and prints how it stands every 0.1 s."""
    measure = "ebur128=metadata=1:peak=true,ametadata=mode=print:file=-"
    sound = ["-map", f"0:{stream_index}", "-filter:a", measure, "-f", "null", "-"]
    return [tools.ffmpeg, "-nostdin", *_probe_input(), "-i", str(source), *sound]


def playable_command(
    tools: MediaTools, source: Path, media: Media, target: Path, poster: Poster, *, tagged: bool = True
) -> list[str]:
    """The ffmpeg argv that copies the picture as it is into an MP4 with fragments, and takes a poster.

    A turned or non-square source stays so in the copy: players turn and stretch it. ``tagged`` writes
    its colours into its bitstream, for which all its headers must be understood.
    """
    stream = ffmpeg.input(str(source), **SAFE_INPUT)
    copy = {
        "c:v": "copy",
        "tag:v": {"h264": "avc1", "hevc": "hvc1"}[media.codec],
        "bsf:v": ",".join([PICTURE_ONLY[media.codec], *([TAGGED_BT709[media.codec]] if tagged else [])]),
    }
    copied = ffmpeg.output(
        stream[str(media.stream_index)],
        *_sound(stream, media),
        str(target),
        **copy,
        **_audio(media),
        **PRIVATE,
        **FRAGMENTED,
    )
    return _compile(tools, [copied, *_poster(source, media, poster)])


def ladder_command(
    tools: MediaTools,
    source: Path,
    media: Media,
    targets: Sequence[Target],
    sprite: Sprite | None = None,
    poster: Poster | None = None,
) -> list[str]:
    """The ffmpeg argv that decodes once and encodes every target, upright, as H.264 and AAC, and the sprite.

    Keyframes fall where the source has them, so that every rendition can be cut at the same places.
    Prints its progress to standard output.
    """
    stream = ffmpeg.input(str(source), **SAFE_INPUT)
    picture = stream[str(media.stream_index)]
    copies = picture.split()
    outputs = [
        ffmpeg.output(
            _scaled(copies[index], media, target.width_px, target.height_px).filter("format", "yuv420p"),
            *_sound(stream, media),
            str(target.path),
            **{
                "c:v": "libx264",
                "preset": "faster",
                "threads": 2,  # each has pictures of its own in memory: with three for each, HEVC took 356 MB
                "subq": 7,  # medium's: most of its gain for a tenth of the time, and none of its memory
                "refs": 1,  # and dia: a seventh less time, and VMAF as before on five clips, 0.3 up or down
                "motion-est": "dia",
                "crf": 23,
                "force_key_frames": "source",
                "sc_threshold": 0,
                "g": 99999,  # and nowhere else
            },
            **_bit_rate_cap(media, target),
            **{"bsf:v": PICTURE_ONLY["h264"], "fps_mode": "passthrough"},
            **BT709,
            **_audio(media),
            **PRIVATE,
            **FRAGMENTED,
        )
        for index, target in enumerate(targets)
    ]
    if sprite:
        outputs.append(_sprite(copies[len(targets)], media, sprite))
    if poster:
        outputs += _poster(source, media, poster)
    return _compile(tools, outputs, "-xerror", "-progress", "pipe:1")  # a broken frame is not passed over


def _compile(tools: MediaTools, outputs: Sequence[object], *options: str) -> list[str]:
    merged = ffmpeg.merge_outputs(*outputs).global_args("-v", "error", "-nostdin", "-nostats", *options)
    command: list[str] = ffmpeg.compile(merged, cmd=tools.ffmpeg, overwrite_output=True)
    return command


def _scaled(video: ffmpeg.nodes.Stream, media: Media, width_px: int, height_px: int) -> ffmpeg.nodes.Stream:
    """``video`` at this size with square pixels in limited-range BT.709; ffmpeg has turned it already."""
    # Said of the frames, since what they say wins over what the encoder is told; and before they are
    # scaled, since swscale takes for BT.601 what says nothing.
    told = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    if media.color_range:
        told["range"] = media.color_range
    scaled = video.filter("setparams", **told).filter("scale", width_px, height_px, out_range="tv")
    return scaled.filter("setsar", 1)


def _poster(source: Path, media: Media, poster: Poster) -> list[object]:
    """Both pictures; from an input of their own that begins there, if it is not the beginning."""
    seek = {"ss": poster.time_s} if poster.time_s else {}
    picture = ffmpeg.input(str(source), **seek, **SAFE_INPUT)[str(media.stream_index)]
    copies = _scaled(picture, media, poster.target.width_px, poster.target.height_px).split()
    tiny = copies[1].filter("scale", poster.tiny.width_px, poster.tiny.height_px).filter("format", "rgb24")
    return [
        _still(copies[0], poster.target.path),
        ffmpeg.output(tiny, str(poster.tiny.path), **{"frames:v": 1, "f": "rawvideo"}),
    ]


def _sprite(video: ffmpeg.nodes.Stream, media: Media, sprite: Sprite) -> object:
    """A still from the middle of every span; the last one stands in for what is missing at the end.

    Every still makes the sheet anew, with it as the last: ffmpeg reports no progress before each
    of its outputs has begun.
    """
    sheet = sprite.sheet
    spaced = video.filter("fps", fps=1 / sheet.every_s, eof_action="pass")
    spaced = spaced.filter("tpad", stop_mode="clone", stop=sheet.tiles)
    stills = _scaled(spaced, media, sheet.tile_width_px, sheet.tile_height_px)
    rows = -(-sheet.tiles // sheet.columns)
    rest = sheet.tiles - 1
    sheets = stills.filter(
        "tile", layout=f"{sheet.columns}x{rows}", nb_frames=sheet.tiles, overlap=rest, init_padding=rest
    )
    return _still(sheets, sprite.target.path, frames=sheet.tiles)


def _still(video: ffmpeg.nodes.Stream, path: Path, frames: int = 1) -> object:
    # JPEG is full-range BT.601 whatever the video was.
    picture = video.filter("scale", out_range="pc", out_color_matrix="bt601").filter("format", "yuvj420p")
    picture = picture.filter("sidedata", mode="delete")  # a colour profile of the source
    return ffmpeg.output(
        picture, str(path), **{"frames:v": frames, "update": 1, "q:v": 4, "c:v": "mjpeg"}, **PRIVATE
    )


def _sound(stream: ffmpeg.nodes.Stream, media: Media) -> list[ffmpeg.nodes.Stream]:
    return [stream[str(media.audio.stream_index)]] if media.audio else []


def _audio(media: Media) -> dict[str, object]:
    if not media.audio:
        return {}
    if media.audio.codec == "aac" and media.audio.profile == "LC" and media.audio.channels <= 2:
        return {"c:a": "copy"}
    return {"c:a": "aac", "b:a": "128k", "ac": 2}


def _bit_rate_cap(media: Media, target: Target) -> dict[str, object]:
    """No rendition is larger than its source; a smaller picture gets its share of the bits.

    Beyond ``maxrate``, x264 spends up to half the buffer: half a second's worth, which a
    short clip cannot spare. A still needs a buffer that its first picture fits into.
    """
    lasting_s = max(media.duration_s, 1 / 30)
    source_bits = media.bit_rate * lasting_s
    container_bits = 8 * (3000 + 24 * media.frame_count)  # both indexes
    bits = max(source_bits - max(0.04 * source_bits, container_bits), source_bits / 2)
    bufsize = max(bits / (lasting_s + 0.5), min(100_000, bits / 2))
    share = (target.width_px * target.height_px / (720 * 1280)) ** 0.75
    maxrate = min(max(bits * share / lasting_s, 100_000), (bits - bufsize / 2) / lasting_s)
    return {"maxrate": max(1000, int(maxrate)), "bufsize": max(1000, int(bufsize))}


def sniff(path: Path) -> str:
    """What the bytes are, as a MIME type, by libmagic: ``"video/mp4"``, ``"image/png"``…

    ``"application/octet-stream"`` where libmagic cannot tell.

    Raises:
        ToolFailed: libmagic or its database is missing.
    """
    magic = _libmagic()
    try:
        return str(magic.from_buffer(_beginning(path), mime=True))
    except magic.MagicException as error:
        raise ToolFailed(f"libmagic: {error}", suggestions=_INSTALL) from None


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(65536)


def magic_version() -> str:
    """The version of libmagic, such as ``"5.46"``. Raises ToolFailed as ``sniff`` does."""
    version = _libmagic().version()
    return f"{version // 100}.{version % 100:02}"


def _libmagic() -> ModuleType:
    try:
        import magic  # here, because importing it looks for the library
    except ImportError as error:
        raise ToolFailed(f"libmagic: {error}", suggestions=_INSTALL) from None
    return magic


_INSTALL = ("In Lambda, attach MediaToolsLayer.", "At home, run `make install`.")
# What ffmpeg exits with when the file is not at fault: 256 - ENOSPC, 256 - ENOMEM, or stopped by a signal.
_OUR_FAULT = {228: "the disk is full", 244: "out of memory", 255: "it was told to stop"}
# What it says of itself when it is too old, or built without what we need.
_WRONG_BUILD = re.compile(
    "Undefined constant|Option not found|Unknown encoder|No such filter|Bitstream filter not found"
)


def run(
    command: Sequence[str],
    *,
    timeout_s: float,
    memory_bytes: int = GIB,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run a media tool to its end and return what it printed.

    It gets no input, none of our environment (credentials are in it), and is killed when its
    time is over or when ``on_line``, which is handed each line as it is printed, raises.

    Raises:
        BadMedia: the tool gave the file up; carries its last words.
        ToolFailed: the tool is missing, hung, or was killed; trying again may help.
    """
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"LC_ALL": "C"},
                process_group=0,  # a Ctrl-C in our terminal is for us, not for the file being read
            )
        except OSError as error:
            raise ToolFailed(f"{name} cannot be started: {error.strerror}.", suggestions=_INSTALL) from None
        _limit(process.pid, memory_bytes)
        out_of_time = threading.Event()

        def stop() -> None:
            out_of_time.set()
            process.kill()

        alarm = threading.Timer(timeout_s, stop)
        alarm.start()
        try:
            printed = _read(process, on_line)
            status = process.wait()
        finally:
            alarm.cancel()
            process.kill()
            process.wait()
        errors.seek(0)
        complaints = errors.read()[-4000:].decode(errors="replace").strip()
    last_words = " / ".join(complaints.splitlines()[-3:]) or f"exit status {status}"
    if out_of_time.is_set():
        raise ToolFailed(f"{name} did not finish in {timeout_s:g} s.")
    if status < 0:
        raise ToolFailed(f"{name} was killed by signal {-status}.")
    if status in _OUR_FAULT:
        raise ToolFailed(f"{name}: {_OUR_FAULT[status]}.")
    if status > 0 and (lack := _WRONG_BUILD.search(complaints)):
        raise ToolFailed(f"{name} cannot do this ({lack[0]}): {last_words}", suggestions=_INSTALL)
    if status > 0:
        raise BadMedia(f"{name}: {last_words}")
    return printed


def _read(process: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> str:
    assert process.stdout
    with process.stdout as stdout:
        if on_line is None:
            return stdout.read().decode(errors="replace")
        for line in stdout:
            on_line(line.decode(errors="replace").strip())
    return ""


def _limit(pid: int, memory_bytes: int) -> None:
    """Bound the address space of a child, where the system can (Linux); it may have ended already."""
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))
