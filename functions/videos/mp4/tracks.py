"""Reads what ffprobe does not report from the index of an uploaded file: edit lists, descriptions, counts.

``movie`` reads files that we wrote; this module trusts nothing, and skips what makes no sense.

Source: ISO/IEC 14496-12, 8.6.6 for edit lists, 8.5.2 for sample descriptions, 8.7.3 and 8.8.8 for counts.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

from videos.mp4.integrity import BoxSpan, boxes_in

MAX_TRACKS = 100
MAX_EDITS = 10_000
MAX_FRAGMENTS = 10_000
CONFIGURATIONS = (b"avcC", b"hvcC")
SAMPLE_ENTRY_HEAD_BYTES = 78  # of a picture's


@dataclass(frozen=True, slots=True)
class Edit:
    """One segment of an edit list.

    Attributes:
        from_s: its start in the media; None for an empty edit, which shows nothing.
        speed: 1.0 is normal.
    """

    duration_s: float
    from_s: float | None
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class TrackIndex:
    """One track.

    Attributes:
        descriptions: the number of sample descriptions (stsd entries).
        configuration_bytes: the size of the largest decoder configuration (avcC, hvcC).
        fragmented: its samples are in movie fragments, too.
        samples: how many samples the index and the fragments list.
    """

    id: int
    edits: tuple[Edit, ...] = ()
    descriptions: int = 1
    configuration_bytes: int = 0
    fragmented: bool = False
    samples: int = 0

    @property
    def hidden_at_start_s(self) -> float:
        """The duration of the media before the first segment that is shown."""
        return min((edit.from_s for edit in self.edits if edit.from_s is not None), default=0.0)

    @property
    def is_cut(self) -> bool:
        """Whether the edit list shows more than one segment."""
        return sum(edit.from_s is not None for edit in self.edits) > 1

    @property
    def faults(self) -> tuple[str, ...]:
        """What is legal, but more than ffmpeg and browsers do, one sentence each."""
        asked = {
            "An edit list leaves a hole in a track.": any(edit.from_s is None for edit in self.edits[1:]),
            "An edit list changes the speed of a track.": any(
                edit.speed != 1 for edit in self.edits if edit.from_s is not None
            ),
            "An edit list joins several parts of a fragmented track.": self.fragmented and self.is_cut,
            "A fragmented track has several sample descriptions.": self.fragmented and self.descriptions > 1,
        }
        return tuple(fault for fault, holds in asked.items() if holds)


def read_tracks(path: Path) -> dict[int, TrackIndex]:
    """Every track by its id; {} if there is no readable index."""
    if not path.stat().st_size:  # nothing to map
        return {}
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        movie = _first(data, (0, len(data)), b"moov")
        if not movie:
            return {}
        movie_rate = _rate(data, _first(data, movie, b"mvhd"))
        traks = (span for kind, *span in boxes_in(data, *movie) if kind == b"trak")
        fragmented = _first(data, movie, b"mvex") is not None
        tracks = (
            _track(data, (start, end), movie_rate, fragmented) for start, end in islice(traks, MAX_TRACKS)
        )
        in_fragments = _samples_in_fragments(data) if fragmented else Counter[int]()
        return {
            track.id: replace(track, samples=track.samples + in_fragments[track.id])
            for track in tracks
            if track
        }


def _samples_in_fragments(data: mmap) -> Counter[int]:
    """How many samples the fragments list, by the id of their track."""
    counts = Counter[int]()
    moofs = (span for kind, *span in boxes_in(data, 0, len(data)) if kind == b"moof")
    for moof in islice(moofs, MAX_FRAGMENTS):
        for kind, start, end in boxes_in(data, *moof):
            head = _first(data, (start, end), b"tfhd") if kind == b"traf" else None
            if head:
                truns = (begin for inner, begin, _ in boxes_in(data, start, end) if inner == b"trun")
                counts[_number(data, head[0] + 4)] += sum(_number(data, begin + 4) for begin in truns)
    return counts


def _track(data: mmap, trak: BoxSpan, movie_rate: int, fragmented: bool) -> TrackIndex | None:
    head = _first(data, trak, b"tkhd")
    if not head:
        return None
    track_id = _number(data, head[0] + (20 if data[head[0]] else 12))
    media = _first(data, trak, b"mdia")
    rate = _rate(data, _first(data, media, b"mdhd"))
    tables = _first(data, _first(data, media, b"minf"), b"stbl")
    descriptions = _first(data, tables, b"stsd")
    entries = list(islice(boxes_in(data, descriptions[0] + 8, descriptions[1]), 100)) if descriptions else []
    sizes = [
        end - start
        for _, entry_start, entry_end in entries
        for kind, start, end in boxes_in(data, entry_start + SAMPLE_ENTRY_HEAD_BYTES, entry_end)
        if kind in CONFIGURATIONS
    ]
    edits = _edits(data, _first(data, _first(data, trak, b"edts"), b"elst"), movie_rate, rate)
    listed = _first(data, tables, b"stsz") or _first(data, tables, b"stz2")
    return TrackIndex(
        id=track_id,
        edits=tuple(edits),
        descriptions=max(1, len(entries)),
        configuration_bytes=max(sizes, default=0),
        fragmented=fragmented,
        samples=_number(data, listed[0] + 8) if listed else 0,
    )


def _edits(data: mmap, table: BoxSpan | None, movie_rate: int, rate: int) -> Iterator[Edit]:
    if not table or not movie_rate or not rate:
        return
    start, end = table
    row = struct.Struct(">Qqi" if data[start] else ">Iii")
    for number in range(min(_number(data, start + 4), MAX_EDITS)):
        at = start + 8 + number * row.size
        if at + row.size > end:
            return
        duration, begin, speed = row.unpack_from(data, at)
        yield Edit(duration / movie_rate, begin / rate if begin >= 0 else None, speed / 0x10000)


def _rate(data: mmap, header: BoxSpan | None) -> int:
    """The timescale in an mvhd or mdhd; 0 if there is no such box."""
    return _number(data, header[0] + (20 if data[header[0]] else 12)) if header else 0


def _number(data: mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def _first(data: mmap, outer: BoxSpan | None, kind: bytes) -> BoxSpan | None:
    """The body of the first complete box of a type inside another."""
    for found, start, end in boxes_in(data, *outer) if outer else ():
        if found == kind and start < end <= len(data):
            return start, end
    return None
