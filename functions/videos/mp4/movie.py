"""Parses the MP4 files that our ffmpeg writes: tracks, fragments, codecs.

Not for uploads; ``integrity`` checks those.

Source: ISO/IEC 14496-12 for the boxes, 14496-15 and RFC 6381 for the names of codecs.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import NamedTuple

from videos.mp4.boxes import boxes, find

PICTURE, SOUND = b"vide", b"soun"  # handler types of tracks
DEFAULT_BASE_IS_MOOF = 0x20000  # flag of a tfhd
# The optional fields of a trun: for all its samples, for the first, for each.
DATA_OFFSET, FIRST_FLAGS = 0x1, 0x4
DURATION, SIZE, FLAGS, DELAY = 0x100, 0x200, 0x400, 0x800
DEFAULT_FLAGS = {DURATION: 0x8, SIZE: 0x10, FLAGS: 0x20}  # of a tfhd: one value for all samples of its traf
NOT_A_KEYFRAME = 0x10000  # flag of a sample
AAC_LC = "mp4a.40.2"  # the only audio codec we publish


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a movie; its times are in units of 1/``rate`` seconds.

    Attributes:
        late: how much later than the movie it starts, from its edit list.
        skipped: how much of its beginning the edit list hides.
    """

    id: bytes
    rate: int
    late: int
    skipped: int

    def shown_s(self, at: int) -> float:
        return (self.late + at - self.skipped) / self.rate


def handler(trak: bytes) -> bytes:
    """The handler type of a track: PICTURE or SOUND."""
    return find(trak, b"mdia", b"hdlr")[8:12]


def tracks(moov: bytes) -> dict[bytes, Track]:
    """The tracks by handler type; at most one of each."""
    movie_rate = int.from_bytes(find(moov, b"mvhd")[12:16])
    return {handler(trak): _track(trak, movie_rate) for kind, trak in boxes(moov) if kind == b"trak"}


def _track(trak: bytes, movie_rate: int) -> Track:
    rate = int.from_bytes(find(trak, b"mdia", b"mdhd")[12:16])
    edits = list(struct.iter_unpack(">IiI", find(trak, b"edts", b"elst")[8:]))
    late = sum(empty for empty, begin, _ in edits if begin < 0) * rate // movie_rate
    skipped = max(begin for _, begin, _ in edits)
    return Track(id=find(trak, b"tkhd")[12:16], rate=rate, late=late, skipped=skipped)


class Sample(NamedTuple):
    """One video or audio frame: decoded ``at`` this time of its track, presented ``delay`` later."""

    at: int
    delay: int
    duration: int
    data: memoryview
    flags: int = 0

    @property
    def is_keyframe(self) -> bool:
        return not self.flags & NOT_A_KEYFRAME


def samples(fragment: memoryview, track: Track) -> list[Sample]:
    """The samples of a track in a fragment (moof and mdat)."""
    found: list[Sample] = []
    for traf in trafs(fragment, track):
        at = int.from_bytes(find(traf, b"tfdt")[4:])
        defaults = dict(
            zip((DURATION, SIZE, FLAGS), struct.unpack_from(">III", find(traf, b"tfhd"), 8), strict=True)
        )
        run = find(traf, b"trun")
        flags, count, place = struct.unpack_from(">III", run)
        columns: dict[int, Iterable[int]] = {
            name: repeat(value, count) for name, value in {**defaults, DELAY: 0}.items()
        }
        if names := [name for name in (DURATION, SIZE, FLAGS, DELAY) if flags & name]:
            row = struct.Struct(f">{len(names)}i")
            begin = 16 if flags & FIRST_FLAGS else 12
            rows = row.iter_unpack(run[begin : begin + count * row.size])
            columns |= zip(names, zip(*rows, strict=True), strict=True)
        if flags & FIRST_FLAGS:
            columns[FLAGS] = chain(struct.unpack_from(">I", run, 12), islice(columns[FLAGS], 1, None))
        for duration, size, flag, delay in zip(
            columns[DURATION], columns[SIZE], columns[FLAGS], columns[DELAY], strict=True
        ):
            data = fragment[place : place + size]
            found.append(Sample(at, delay, duration, data, flag & 0xFFFFFFFF))
            at, place = at + duration, place + size
    return found


def trafs(fragment: memoryview, track: Track) -> list[memoryview]:
    """The traf boxes of a track in a moof: one, or none if it has no samples there."""
    inside = boxes(find(fragment, b"moof"))
    return [body for kind, body in inside if kind == b"traf" and find(body, b"tfhd")[4:8] == track.id]


def codecs(moov: bytes) -> str:
    """The codecs string (RFC 6381) of a movie, such as "avc1.640020,mp4a.40.2"."""
    traks = {handler(trak): trak for kind, trak in boxes(moov) if kind == b"trak"}
    descriptions = find(traks[PICTURE], b"mdia", b"minf", b"stbl", b"stsd")
    kind, entry = next(boxes(descriptions, 8))
    inside = dict(boxes(entry, 78))
    picture = _hevc(inside[b"hvcC"]) if kind == b"hvc1" else f"avc1.{inside[b'avcC'][1:4].hex()}"
    return ",".join([picture, AAC_LC] if SOUND in traks else [picture])


def _hevc(configuration: bytes) -> str:
    """Such as "hvc1.1.6.L93.B0": profile, compatibility, tier and level, constraints (14496-15, annex E)."""
    profile, compatible = configuration[1], int.from_bytes(configuration[2:6])
    mirrored = int(f"{compatible:032b}"[::-1], 2)
    space, tier = ("", "A", "B", "C")[profile >> 6], "LH"[profile >> 5 & 1]
    constraints = [f"{byte:X}" for byte in configuration[6:12].rstrip(b"\0")]
    return ".".join(
        ["hvc1", f"{space}{profile & 0x1F}", f"{mirrored:X}", f"{tier}{configuration[12]}", *constraints]
    )
