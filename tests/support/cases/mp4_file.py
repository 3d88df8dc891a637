"""An MP4 file taken apart into tracks and samples, changed, and written again (ISO/IEC 14496-12).

Reads what ffmpeg writes: progressive, version 0 boxes, 32-bit offsets. Writes progressive or fragmented.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate, groupby
from pathlib import Path
from typing import Self

from support.corpus import box, u16, u32

PICTURE, SOUND = b"vide", b"soun"
# Boxes that hold boxes, and how many bytes come before those.
HOLDERS = {
    b"moov": 0, b"trak": 0, b"edts": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8,
    b"avc1": 78, b"avc3": 78, b"hvc1": 78, b"hev1": 78,
}  # fmt: skip
ENABLED = 0x1  # flag of a tkhd
EMPTY = -1  # the media time of an edit that shows nothing
NORMAL_SPEED = 1 << 16
DEFAULT_BASE_IS_MOOF, DESCRIPTION_GIVEN = 0x20000, 0x2  # flags of a tfhd
OFFSET, DURATION, SIZE, FLAGS, DELAY = 0x1, 0x100, 0x200, 0x400, 0x800  # flags of a trun
SYNC, NO_SYNC = 0x2000000, 0x1010000  # flags of a sample


@dataclass
class Box:
    """``body`` is all of it, or of a holder what comes before the boxes ``inside``."""

    kind: bytes
    body: bytes = b""
    inside: list["Box"] | None = None

    def __bytes__(self) -> bytes:
        return box(self.kind, self.body, *map(bytes, self.inside or ()))

    def all(self, kind: bytes) -> list["Box"]:
        return [inner for inner in self.inside or () if inner.kind == kind]

    def find(self, *path: bytes) -> "Box":
        found = self
        for kind in path:
            [found, *_] = found.all(kind)
        return found

    def put(self, inner: "Box", at: int | None = None) -> None:
        """Add a box in place of those of its kind, or at the end."""
        assert self.inside is not None
        places = [place for place, old in enumerate(self.inside) if old.kind == inner.kind]
        self.drop(inner.kind)
        place = places[0] if places else len(self.inside) if at is None else at
        self.inside.insert(place, inner)

    def drop(self, kind: bytes) -> None:
        assert self.inside is not None
        self.inside = [inner for inner in self.inside if inner.kind != kind]

    def number(self, at: int) -> int:
        return int.from_bytes(self.body[at : at + 4])

    def set(self, at: int, number: int) -> None:
        self.body = self.body[:at] + u32(number) + self.body[at + 4 :]


def parse(data: bytes) -> Iterator[Box]:
    at = 0
    while at < len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + size]
        head = HOLDERS.get(kind)
        yield Box(kind, body) if head is None else Box(kind, body[:head], list(parse(body[head:])))
        at += size


@dataclass(frozen=True)
class Sample:
    """``duration`` and ``delay`` (composition offset) in units of its track."""

    data: bytes
    duration: int
    delay: int = 0
    keyframe: bool = True
    description: int = 1


@dataclass(frozen=True)
class Edit:
    """``begin`` in units of the media, EMPTY for one that shows nothing; ``lasts_s`` 0 is to the end."""

    lasts_s: Fraction
    begin: int


@dataclass
class Track:
    """
    Attributes:
        lead: the media time at which its first picture or first sound is shown.
        begins_at: when its first fragment begins, in units.
        fragments_early: how many units too early each later fragment says that it begins.
    """

    box: Box
    samples: list[Sample]
    edits: list[Edit] = field(default_factory=list)
    begins_at: int = 0
    fragments_early: int = 0

    def __post_init__(self) -> None:
        self.lead = self.edits[0].begin if self.edits else 0

    @property
    def handler(self) -> bytes:
        return self.box.find(b"mdia", b"hdlr").body[8:12]

    @property
    def rate(self) -> int:
        """Units a second."""
        return self.box.find(b"mdia", b"mdhd").number(12)

    @property
    def tables(self) -> Box:
        return self.box.find(b"mdia", b"minf", b"stbl")

    @property
    def descriptions(self) -> list[Box]:
        entries = self.tables.find(b"stsd").inside
        assert entries is not None
        return entries

    @property
    def units(self) -> int:
        return sum(sample.duration for sample in self.samples)

    @property
    def starts(self) -> list[int]:
        """When each sample is decoded, in units."""
        ends = accumulate(sample.duration for sample in self.samples)
        return [end - sample.duration for end, sample in zip(ends, self.samples, strict=True)]

    @property
    def end(self) -> int:
        """When the last sample has been shown, in units."""
        placed = zip(self.starts, self.samples, strict=True)
        return max(start + sample.delay + sample.duration for start, sample in placed)

    def show(self, *spans: tuple[float | None, float]) -> None:
        """An edit list: (begin, end) in seconds of what was recorded; (None, 1.5) shows nothing that long."""
        self.edits = [
            Edit(Fraction(end), EMPTY)
            if begin is None
            else Edit(Fraction(end) - Fraction(begin), self.lead + round(begin * self.rate))
            for begin, end in spans
        ]

    def show_all(self, *, after_s: float = 0) -> None:
        """An edit list of everything from its lead on, ``after_s`` later."""
        whole = Edit(Fraction(self.end - self.lead, self.rate), self.lead)
        self.edits = [Edit(Fraction(after_s), EMPTY), whole] if after_s else [whole]

    def show_plainly(self) -> None:
        """No edit list."""
        self.edits = []

    def enable(self, enabled: bool) -> None:
        header = self.box.find(b"tkhd")
        header.set(0, header.number(0) & ~ENABLED | (ENABLED if enabled else 0))

    def show_as(self, width_px: int, height_px: int) -> None:
        """The size that the container says it is shown at."""
        for description in self.descriptions:
            description.body = description.body[:24] + u16(width_px, height_px) + description.body[28:]
        self.box.find(b"tkhd").set(76, width_px << 16)
        self.box.find(b"tkhd").set(80, height_px << 16)

    def change(self, numbers: Iterable[int], **facts: object) -> None:
        """Other facts for these samples."""
        for number in numbers:
            self.samples[number] = replace(self.samples[number], **facts)  # type: ignore[arg-type]


@dataclass
class Movie:
    """A file to write: progressive, its index last, as recorders do, unless asked otherwise.

    Attributes:
        header: the moov; its tracks are in ``tracks``.
        rate: units a second of the edit lists.
        fragment_s: how much of each track is in a fragment; None for a progressive file.
        shares_bytes: whether samples that are equal lie in the same place.
    """

    type: Box
    header: Box
    tracks: list[Track]
    rate: int = 600
    fragment_s: float | None = None
    shares_bytes: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        data = path.read_bytes()
        top = {found.kind: found for found in parse(data)}
        moov = top[b"moov"]
        tracks = [_track(trak, data, moov.find(b"mvhd").number(12)) for trak in moov.all(b"trak")]
        moov.drop(b"trak")
        moov.drop(b"udta")
        return cls(top[b"ftyp"], moov, tracks)

    @classmethod
    def of(cls, *paths: Path) -> Self:
        """One file with the tracks of all."""
        first, *others = map(cls.read, paths)
        first.tracks += [track for other in others for track in other.tracks]
        return first

    @property
    def picture(self) -> Track:
        return next(track for track in self.tracks if track.handler == PICTURE)

    @property
    def sound(self) -> Track:
        return next(track for track in self.tracks if track.handler == SOUND)

    @property
    def sounds(self) -> list[Track]:
        return [track for track in self.tracks if track.handler == SOUND]

    def in_fragments(self, seconds: float = 1) -> Self:
        """As browsers record, each track's samples of so long at a time."""
        return replace(self, fragment_s=seconds)

    def sharing_bytes(self) -> Self:
        return replace(self, shares_bytes=True)

    def save(self, path: Path) -> Path:
        path.write_bytes(
            self._progressive() if self.fragment_s is None else self._fragmented(self.fragment_s)
        )
        return path

    def _progressive(self) -> bytes:
        places: dict[bytes, int] = {}
        offsets: list[dict[int, int]] = [{} for _ in self.tracks]
        media, end = [], len(bytes(self.type)) + 8
        for _, number, index in self._in_time():
            data = self.tracks[number].samples[index].data
            if self.shares_bytes and data in places:
                offsets[number][index] = places[data]
                continue
            offsets[number][index] = places[data] = end
            media.append(data)
            end += len(data)
        traks = [self._trak(number, list(offsets[number].values())) for number in range(len(self.tracks))]
        return bytes(self.type) + box(b"mdat", *media) + self._moov(traks)

    def _fragmented(self, fragment_s: float) -> bytes:
        traks = [self._trak(number, []) for number in range(len(self.tracks))]
        extends = [u32(0, number, 1, 0, 0, 0) for number in range(1, len(traks) + 1)]
        index = self._moov([*traks, box(b"mvex", *(box(b"trex", extend) for extend in extends))])
        moments = groupby(self._in_time(), key=lambda placed: placed[0] // fragment_s)
        fragments = [
            self._fragment(serial, [(number, index) for _, number, index in placed])
            for serial, (_, placed) in enumerate(moments, start=1)
        ]
        return bytes(self.type) + index + b"".join(fragments)

    def _in_time(self) -> list[tuple[float, int, int]]:
        """Every sample as (when it is decoded in s, number of its track, its own number)."""
        return sorted(
            (start / track.rate, number, index)
            for number, track in enumerate(self.tracks)
            for index, start in enumerate(track.starts)
        )

    def _moov(self, traks: Sequence[bytes]) -> bytes:
        header = deepcopy(self.header)
        lasting = max((self._lasting(track) for track in self.tracks), default=0)
        header.find(b"mvhd").set(12, self.rate)
        header.find(b"mvhd").set(16, lasting)
        return box(b"moov", *map(bytes, header.inside or ()), *traks)

    def _lasting(self, track: Track) -> int:
        lasting_s = sum(edit.lasts_s for edit in track.edits) or Fraction(track.units, track.rate)
        return round(lasting_s * self.rate)

    def _trak(self, number: int, offsets: Sequence[int]) -> bytes:
        """The box of a track whose samples lie there; of one with fragments, no offsets are given."""
        track = self.tracks[number]
        trak = deepcopy(track.box)
        trak.find(b"tkhd").set(12, number + 1)
        trak.find(b"tkhd").set(20, self._lasting(track))
        trak.find(b"mdia", b"mdhd").set(16, track.units if offsets else 0)
        if track.edits:
            rows = (
                u32(round(edit.lasts_s * self.rate), edit.begin % 2**32, NORMAL_SPEED) for edit in track.edits
            )
            edits = Box(b"elst", u32(0, len(track.edits)) + b"".join(rows))
            trak.put(Box(b"edts", inside=[edits]), at=1)
        else:
            trak.drop(b"edts")
        listed = track.samples if offsets else []
        stbl = trak.find(b"mdia", b"minf", b"stbl")
        stbl.find(b"stsd").set(4, len(track.descriptions))
        stbl.inside = [stbl.find(b"stsd"), *_tables(listed, offsets)]
        return bytes(trak)

    def _fragment(self, serial: int, placed: Sequence[tuple[int, int]]) -> bytes:
        runs = [
            list(run)
            for _, run in groupby(
                sorted(placed), lambda at: (at[0], self.tracks[at[0]].samples[at[1]].description)
            )
        ]
        sizes = [sum(len(self.tracks[number].samples[at].data) for number, at in run) for run in runs]

        def moof(begin: int) -> bytes:
            begins = accumulate(sizes, initial=begin)
            return box(b"moof", box(b"mfhd", u32(0, serial)), *map(self._run, runs, begins))

        begin = len(moof(0)) + 8
        media = (self.tracks[number].samples[at].data for run in runs for number, at in run)
        return moof(begin) + box(b"mdat", *media)

    def _run(self, run: Sequence[tuple[int, int]], begin: int) -> bytes:
        """A traf: samples of one track and one description that lie one after the other from there."""
        (number, first), *_ = run
        track = self.tracks[number]
        head = u32(DEFAULT_BASE_IS_MOOF | DESCRIPTION_GIVEN, number + 1, track.samples[first].description)
        told = u32(1 << 24 | OFFSET | DURATION | SIZE | FLAGS | DELAY, len(run), begin)
        samples = (track.samples[index] for _, index in run)
        rows = (
            u32(sample.duration, len(sample.data), SYNC if sample.keyframe else NO_SYNC, sample.delay % 2**32)
            for sample in samples
        )
        early = track.fragments_early if first else 0
        time = box(b"tfdt", u32(1 << 24, 0, track.begins_at + track.starts[first] - early))
        return box(b"traf", box(b"tfhd", head), time, box(b"trun", told, *rows))


def _track(trak: Box, data: bytes, movie_rate: int) -> Track:
    edits = [
        Edit(Fraction(lasts, movie_rate), begin if begin < 2**31 else begin - 2**32)
        for edts in trak.all(b"edts")
        for lasts, begin, _ in _rows(edts.find(b"elst"), 3)
    ]
    return Track(trak, list(_samples(trak.find(b"mdia", b"minf", b"stbl"), data)), edits)


def _samples(stbl: Box, data: bytes) -> Iterator[Sample]:
    count = stbl.find(b"stsz").number(8)
    if not count:
        return
    same = stbl.find(b"stsz").number(4)
    sizes = [same] * count if same else [stbl.find(b"stsz").number(12 + 4 * n) for n in range(count)]
    chunks = [place for (place,) in _rows(stbl.find(b"stco"), 1)]
    per_chunk = _rows(stbl.find(b"stsc"), 3)
    ends = [first - 1 for first, _, _ in per_chunk[1:]] + [len(chunks)]
    each = [row for row, end in zip(per_chunk, ends, strict=True) for _ in range(end - row[0] + 1)]
    durations = _unrolled(stbl.find(b"stts"))
    delays = _unrolled(stbl.find(b"ctts")) if stbl.all(b"ctts") else [0] * count
    keyframes = {number for (number,) in _rows(stbl.find(b"stss"), 1)} if stbl.all(b"stss") else None
    number = 0
    for chunk, (_, held, description) in zip(chunks, each, strict=True):
        begin = chunk
        for _ in range(held):
            end = begin + sizes[number]
            keyframe = keyframes is None or number + 1 in keyframes
            yield Sample(data[begin:end], durations[number], delays[number], keyframe, description)
            begin, number = end, number + 1


def _rows(table: Box, columns: int) -> list[tuple[int, ...]]:
    """The rows of a box that is a version, a count and a table."""
    begins = range(8, 8 + 4 * columns * table.number(4), 4 * columns)
    return [tuple(table.number(at + 4 * column) for column in range(columns)) for at in begins]


def _unrolled(table: Box) -> list[int]:
    return [value for count, value in _rows(table, 2) for _ in range(count)]


def _tables(samples: Sequence[Sample], offsets: Sequence[int]) -> Iterator[Box]:
    """The sample tables but for stsd, with one sample in each chunk."""
    yield _table(b"stts", _rolled(sample.duration for sample in samples))
    if any(sample.delay for sample in samples):
        delays = _rolled(sample.delay % 2**32 for sample in samples)
        negative = any(sample.delay < 0 for sample in samples)
        yield _table(b"ctts", delays, version=1 if negative else 0)
    if not all(sample.keyframe for sample in samples):
        yield _table(b"stss", [(n,) for n, sample in enumerate(samples, start=1) if sample.keyframe])
    chunks = [(number, 1, sample.description) for number, sample in enumerate(samples, start=1)]
    yield _table(b"stsc", [next(same) for _, same in groupby(chunks, key=lambda chunk: chunk[2])])
    yield Box(b"stsz", u32(0, 0, len(samples), *(len(sample.data) for sample in samples)))
    yield _table(b"stco", [(offset,) for offset in offsets])


def _rolled(values: Iterable[int]) -> list[tuple[int, int]]:
    return [(len(list(same)), value) for value, same in groupby(values)]


def _table(kind: bytes, rows: Sequence[tuple[int, ...]], version: int = 0) -> Box:
    return Box(kind, u32(version << 24, len(rows), *(number for row in rows for number in row)))
