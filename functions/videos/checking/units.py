"""Counts the NAL units in the samples of an H.264 or HEVC track, and finds what a decoder makes of them.

It reads the types of the units only, which takes milliseconds, before any tool parses them: one sample
of 700,000 parameter sets keeps ffprobe busy for half a minute.

Source: ITU-T H.264 table 7-1, H.265 table 7-1; ISO/IEC 14496-15 for the lengths between the units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from videos.checking.ffprobe import Packet

MAX_UNITS_A_SAMPLE = 1_000  # one slice a row of macroblocks makes 80
MAX_PARAMETER_SETS = 10_000  # three before each frame of a minute make 5,400

H264_IDR, H264_SETS, H264_MESSAGES = 5, {7, 8}, {6}
HEVC_RASL, HEVC_CRA, HEVC_BLA, HEVC_IRAP = {8, 9}, {21}, {16, 17, 18}, range(16, 24)
HEVC_SETS, HEVC_ENDS, HEVC_MESSAGES = {32, 33, 34}, {36, 37}, {39, 40}
HEVC_HEADER_BYTES = 2  # of a unit
MAX_REORDERED = 16  # decoded frames that are not output yet when the next recording starts


@dataclass(frozen=True, slots=True)
class Units:
    """The findings about one track.

    Attributes:
        faults: why the track is too expensive to decode, one sentence each.
        closed_gops: every keyframe is an IDR picture (H.264). Any other is a keyframe only by an SEI
            message (recovery point), and without it no player can start there.
        skipped: how many frames a decoder may leave out where recordings are joined (HEVC): RASL
            pictures, whose references are not in the file, and frames not output yet (C.5.2.2).
        bare_ends: no end of sequence holds more than its header. It would stay in a copy.
        messages: keyframes after the first have SEI messages, which may change how they are shown.
        sets: samples may have parameter sets, beside those of the decoder configuration. True where the
            lengths of the units make no sense.
    """

    faults: tuple[str, ...] = ()
    closed_gops: bool = True
    skipped: int = 0
    bare_ends: bool = True
    messages: bool = False
    sets: bool = True


def read_units(path: Path, packets: Sequence[Packet], codec: str, length_bytes: int) -> Units:
    """Read every sample of a track. ``length_bytes`` is the size of the length field before each unit."""
    if not length_bytes:  # Annex B, or unknown to ffprobe
        return Units(closed_gops=False)
    closed_gops, bare_ends, messages, whole, skipped, sets = True, True, False, True, 0, 0
    starts, skipping = True, False  # a recording starts here; its RASL pictures are skipped
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for number, packet in enumerate(packets):
            units = list(_heads(data, packet, length_bytes))
            types = [head >> 1 & 0x3F if codec == "hevc" else head & 0x1F for head, _ in units]
            if len(types) > MAX_UNITS_A_SAMPLE:
                return Units((f"A sample has more than {MAX_UNITS_A_SAMPLE:,} NAL units.",))
            whole &= sum(size_bytes + length_bytes for _, size_bytes in units) == packet.size
            if number and packet.is_keyframe:
                messages |= not (HEVC_MESSAGES if codec == "hevc" else H264_MESSAGES).isdisjoint(types)
            if codec == "h264":
                sets += sum(kind in H264_SETS for kind in types)
                closed_gops = closed_gops and (not packet.is_keyframe or H264_IDR in types)
            else:
                sets += sum(kind in HEVC_SETS for kind in types)
                for kind, (_, size_bytes) in zip(types, units, strict=True):
                    if kind in HEVC_IRAP:
                        skipping = kind in HEVC_BLA or (kind in HEVC_CRA and starts)
                        starts = False
                    elif kind in HEVC_ENDS:
                        starts = True
                        skipped += MAX_REORDERED
                        bare_ends = bare_ends and size_bytes == HEVC_HEADER_BYTES
                skipped += skipping and not HEVC_RASL.isdisjoint(types)
            if sets > MAX_PARAMETER_SETS:
                return Units((f"The video has more than {MAX_PARAMETER_SETS:,} parameter sets.",))
    return Units(
        closed_gops=closed_gops,
        skipped=skipped,
        bare_ends=bare_ends,
        messages=messages,
        sets=bool(sets) or not whole,
    )


def _heads(data: mmap, packet: Packet, length_bytes: int) -> Iterator[tuple[int, int]]:
    """The first byte and the size of each unit, and of no more units than exceed the limit."""
    if packet.pos is None:
        return
    at, end = packet.pos, min(packet.pos + packet.size, len(data))
    for _ in range(MAX_UNITS_A_SAMPLE + 1):
        if at + length_bytes >= end:
            return
        size_bytes = int.from_bytes(data[at : at + length_bytes])
        yield data[at + length_bytes], size_bytes
        at += length_bytes + size_bytes
