"""An MP4 as ffmpeg writes it: its boxes, its tracks, and what lies in its fragments.

For our own files only; ``boxes`` looks at those of others.

Source: ISO/IEC 14496-12 for the boxes, 14496-15 and RFC 6381 for the names of codecs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PICTURE, SOUND = b"vide", b"soun"  # handler types of tracks
DEFAULT_BASE_IS_MOOF = 0x20000  # flag of a tfhd
# What a trun may tell: of all its samples, of the first, of each.
DATA_OFFSET, FIRST_FLAGS = 0x1, 0x4
DURATION, SIZE, FLAGS, DELAY = 0x100, 0x200, 0x400, 0x800
AAC_LC = "mp4a.40.2"  # the only sound we publish

KindAndBody = tuple[bytes, bytes]


def boxes(data: bytes, start: int = 0) -> Iterator[KindAndBody]:
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + size]
        start += size


def box(kind: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def find(data: bytes, *path: bytes) -> bytes:
    """The body of the first box of each kind inside the one before. Raises StopIteration."""
    for kind in path:
        data = next(body for name, body in boxes(data) if name == kind)
    return data


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a movie; ``rate`` units of its time are a second.

    Attributes:
        late: how much later than the movie it begins, as its edit list says.
        skipped: how much of it comes before that and is not shown.
    """

    id: bytes
    rate: int
    late: int
    skipped: int

    def shown_s(self, at: int) -> float:
        return (self.late + at - self.skipped) / self.rate


def handler(trak: bytes) -> bytes:
    """What kind of track it is: PICTURE, SOUND."""
    return find(trak, b"mdia", b"hdlr")[8:12]


def tracks(moov: bytes) -> dict[bytes, Track]:
    """Each track by its handler type; there is one of a kind."""
    movie_rate = int.from_bytes(find(moov, b"mvhd")[12:16])
    return {handler(trak): _track(trak, movie_rate) for kind, trak in boxes(moov) if kind == b"trak"}


def _track(trak: bytes, movie_rate: int) -> Track:
    rate = int.from_bytes(find(trak, b"mdia", b"mdhd")[12:16])
    edits = list(struct.iter_unpack(">IiI", find(trak, b"edts", b"elst")[8:]))
    late = sum(empty for empty, begin, _ in edits if begin < 0) * rate // movie_rate
    skipped = max(begin for _, begin, _ in edits)
    return Track(id=find(trak, b"tkhd")[12:16], rate=rate, late=late, skipped=skipped)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture or a frame of sound: decoded ``at`` this time of its track, shown ``delay`` later."""

    at: int
    delay: int
    duration: int
    data: bytes


def samples(fragment: bytes, track: Track) -> list[Sample]:
    """What a moof and its mdat have of a track: a run of samples that lie one after the other."""
    found: list[Sample] = []
    for traf in trafs(fragment, track):
        at = int.from_bytes(find(traf, b"tfdt")[4:])
        usual = dict(zip((DURATION, SIZE), struct.unpack_from(">II", find(traf, b"tfhd"), 8), strict=True))
        run = find(traf, b"trun")
        flags, count, place = struct.unpack_from(">III", run)
        names = [name for name in (DURATION, SIZE, FLAGS, DELAY) if flags & name]
        row = struct.Struct(f">{len(names)}i")
        begin = 16 if flags & FIRST_FLAGS else 12
        for number in range(count):
            values = row.unpack_from(run, begin + number * row.size)
            told = {DELAY: 0, **usual, **dict(zip(names, values, strict=True))}
            end = place + told[SIZE]
            found.append(Sample(at, told[DELAY], told[DURATION], fragment[place:end]))
            at, place = at + told[DURATION], end
    return found


def trafs(fragment: bytes, track: Track) -> list[bytes]:
    """The part of a moof that is about a track: one, or none where that has no samples there."""
    inside = boxes(find(fragment, b"moof"))
    return [body for kind, body in inside if kind == b"traf" and find(body, b"tfhd")[4:8] == track.id]


def codecs(moov: bytes) -> str:
    """What a player must be able to decode, as in RFC 6381: "avc1.640020,mp4a.40.2"."""
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
