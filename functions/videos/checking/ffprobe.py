"""The ffprobe commands of the check, and what they print as types.

The fields have ffprobe's names, in the units it prints: bytes, px, and ticks of a track's ``time_base``.
What it leaves out, since it does not know, has a default.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from videos import tools
from videos.policy import COPY_TIMEOUT_S, PROBE_TIMEOUT_S
from videos.tools import MediaTools, safe_input

UNKNOWN = "N/A"  # in CSV; in JSON, it is left out
MAX_PACKETS = 50_000  # ten minutes of 60 fps with sound; a bound for files made to be slow


# 50,000 of them are decoded from a file made to be slow. None refers to itself: no garbage collector.
class Packet(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One coded frame in the file."""

    stream_index: int
    pts: int | None = None
    duration: int = 0
    size: int = 0
    pos: int | None = None
    flags: str = ""

    @property
    def is_keyframe(self) -> bool:
        return "K" in self.flags

    @property
    def is_hidden(self) -> bool:
        """Whether an edit list hides it."""
        return "D" in self.flags

    @property
    def is_corrupt(self) -> bool:
        return "C" in self.flags


class Disposition(msgspec.Struct, frozen=True, kw_only=True):
    attached_pic: bool = False
    default: bool = True  # of a track in MP4: whether its header says that it is enabled


class SideData(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to a track beside its samples, told apart by ``side_data_type``.

    Attributes:
        displaymatrix: three lines, each an offset and three numbers.
        rotation: degrees, counter-clockwise.
        dv_profile, dv_bl_signal_compatibility_id: of Dolby Vision; what it shows to others, 0 for nothing.
    """

    side_data_type: str = ""
    displaymatrix: str = ""
    rotation: int = 0
    dv_profile: int = 0
    dv_bl_signal_compatibility_id: int = 0
    crop_left: int = 0
    crop_right: int = 0
    crop_top: int = 0
    crop_bottom: int = 0


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The size and colours of a frame, or those that a track's headers announce.

    ``width`` and ``height`` of a frame are as coded, and ``crop_…`` what its bitstream cuts off of them;
    those of a track are cropped already.
    """

    width: int = 0
    height: int = 0
    crop_left: int = 0
    crop_right: int = 0
    crop_top: int = 0
    crop_bottom: int = 0
    sample_aspect_ratio: str = ""
    pix_fmt: str = ""
    color_range: str = ""
    color_space: str = ""
    color_primaries: str = ""
    color_transfer: str = ""


class Frame(Picture, frozen=True, kw_only=True):
    """A decoded frame."""

    interlaced_frame: bool = False


class Stream(Picture, frozen=True, kw_only=True):
    """One track."""

    index: int
    id: str = ""  # hexadecimal, "0x1"
    time_base: str  # seconds, "1/600"
    codec_type: str = ""
    codec_name: str = ""
    profile: str = ""
    level: int = 0
    nal_length_size: int = 4
    channels: int = 0
    sample_rate: int = 0
    disposition: Disposition = Disposition()
    side_data_list: tuple[SideData, ...] = ()

    @property
    def is_video(self) -> bool:
        return self.codec_type == "video" and not self.is_cover

    @property
    def is_enabled(self) -> bool:
        """A disabled track is to be treated as if it were not there (ISO/IEC 14496-12, 8.3.2)."""
        return self.disposition.default

    @property
    def is_media(self) -> bool:
        """Whether it is a picture that moves, or sound."""
        return self.is_video or self.codec_type == "audio"

    @property
    def is_cover(self) -> bool:
        return self.disposition.attached_pic


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """Every track of a file, and the first ``MAX_PACKETS`` packets."""

    streams: list[Stream] = []
    packets: list[Packet] = []


class _Streams(msgspec.Struct, frozen=True):
    streams: list[Stream] = []


class _Frames(msgspec.Struct, frozen=True):
    frames: list[Frame] = []


# Times and flags come from the boxes; parsing samples takes ten seconds and more of broken ones.
_BOUNDED = ("-nofind_stream_info", "-fflags", "+noparse", "-read_intervals", f"%+#{MAX_PACKETS}")
# Built at import: two threads that build a decoder of one type at once crash the process (msgspec 0.22).
# Not strict, since ffprobe prints some numbers as strings.
_decode_streams = msgspec.json.Decoder(_Streams, strict=False).decode
_decode_frames = msgspec.json.Decoder(_Frames, strict=False).decode


def read_packets(source: Path, using: MediaTools) -> Contents:
    """Read every packet, and of the tracks what the index says. Parses no sample. Raises as ``tools.run``."""
    with ThreadPoolExecutor(1) as beside:
        listing = beside.submit(tools.run, packets_command(using, source), timeout_s=PROBE_TIMEOUT_S)
        streams = _decode_streams(tools.run(tracks_command(using, source), timeout_s=PROBE_TIMEOUT_S)).streams
        return Contents(streams=streams, packets=list(map(_packet, listing.result().splitlines())))


def _packet(line: str) -> Packet:
    """From a line of CSV; of what follows, side data has a column of its own."""
    stream_index, pts, duration, size, pos, flags, *_ = line.split(",")
    return Packet(
        stream_index=int(stream_index),
        pts=None if pts == UNKNOWN else int(pts),
        duration=0 if duration == UNKNOWN else int(duration),
        size=int(size),
        pos=None if pos == UNKNOWN else int(pos),
        flags=flags,
    )


def count_packets(source: Path, stream_index: int, using: MediaTools) -> int:
    """How many packets of a track can be read, hidden or not. Raises as ``tools.run``."""
    command = count_command(using, source, stream_index)
    return len(tools.run(command, timeout_s=PROBE_TIMEOUT_S).splitlines())


def read_streams(source: Path, using: MediaTools) -> list[Stream]:
    """Read of every track what its first samples say, too. Raises as ``tools.run``."""
    return _decode_streams(tools.run(streams_command(using, source), timeout_s=PROBE_TIMEOUT_S)).streams


def decode_keyframes(
    source: Path, stream_index: int, using: MediaTools, *, most: int = MAX_PACKETS, at_s: Sequence[float] = ()
) -> list[Frame]:
    """Decode the keyframes among the first packets of one track, or from each of these times on.

    Broken ones are left out. Raises as ``tools.run``.
    """
    command = keyframes_command(using, source, stream_index, most, at_s)
    return _decode_frames(tools.run(command, timeout_s=PROBE_TIMEOUT_S)).frames


def decode_ranges(source: Path, stream_index: int, using: MediaTools) -> list[str]:
    """Decode a whole track, and return the colour range of every frame. Raises as ``tools.run``."""
    command = ranges_command(using, source, stream_index)
    frames = _decode_frames(tools.run(command, timeout_s=COPY_TIMEOUT_S)).frames
    return [frame.color_range for frame in frames]


def packets_command(using: MediaTools, source: Path) -> list[str]:
    """As CSV: of a clip of 60 s, JSON takes ffprobe 20 ms more, a quarter of its time."""
    entries = "packet=stream_index,pts,duration,size,pos,flags"
    return _command(using, source, *_BOUNDED, "-show_entries", entries, to="csv=p=0")


def tracks_command(using: MediaTools, source: Path) -> list[str]:
    return _command(using, source, *_BOUNDED, "-show_entries", "stream")


def count_command(using: MediaTools, source: Path, stream_index: int) -> list[str]:
    selected = ["-ignore_editlist", "1", "-select_streams", str(stream_index)]
    return _command(using, source, *_BOUNDED, *selected, "-show_entries", "packet=stream_index", to="csv=p=0")


def streams_command(using: MediaTools, source: Path) -> list[str]:
    return _command(using, source, "-show_entries", "stream")


def keyframes_command(
    using: MediaTools, source: Path, stream_index: int, most: int = MAX_PACKETS, at_s: Sequence[float] = ()
) -> list[str]:
    """Decode keyframes: a new size or colour can only begin at one."""
    starts = [f"{start_s:.3f}" for start_s in at_s] or [""]
    entries = (
        "frame=width,height,crop_left,crop_right,crop_top,crop_bottom,interlaced_frame,sample_aspect_ratio,pix_fmt,"
        "color_range,color_space,color_primaries,color_transfer:frame_side_data="
    )
    # An edit list may hide the only keyframe of a trimmed clip; it is decoded all the same.
    return _command(
        using,
        source,
        "-nofind_stream_info",  # which decodes the first frames in vain
        "-read_intervals",
        ",".join(f"{start}%+#{most}" for start in starts),
        "-ignore_editlist",
        "1",
        "-apply_cropping",  # tells the coded size and what is cut off of it
        "0",
        "-skip_frame",
        "nokey",
        "-skip_loop_filter",  # saves a third of the time, and changes only the picture itself
        "all",
        "-select_streams",
        str(stream_index),
        "-show_entries",
        entries,
    )


def ranges_command(using: MediaTools, source: Path, stream_index: int) -> list[str]:
    selected = ["-select_streams", str(stream_index)]
    return _command(using, source, *selected, "-show_entries", "frame=color_range:frame_side_data=")


def _command(using: MediaTools, source: Path, *options: str, to: str = "json=compact=1") -> list[str]:
    return [using.ffprobe, *safe_input(), *options, "-of", to, str(source)]
