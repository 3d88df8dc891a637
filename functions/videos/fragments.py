"""A rendition is one file that plays in two ways: as a fast-start MP4, and by byte range as HLS.

ffmpeg's ``hybrid_fragmented`` writes fMP4, hides all of it in one mdat, and appends a moov that
indexes the same samples. Here that moov comes first, so that a player can begin at once:

    before   ftyp  free  mdat[ ftyp moov  moof mdat  moof mdat … ]  moov
    after    ftyp  moov  mdat[ ftyp moov  moof mdat  moof mdat … ]
                               └ init ─┘  └ segment ┘└ segment ┘

And each fragment gets the sound that is heard with its pictures. ffmpeg ends one when the next
keyframe is decoded, which is some frames before it is shown, in one rendition more than in
another: a player that changed from one to the other would find a hole in the sound. A track that
begins late says so in the times of its fragments: many players pass over an empty edit.

Source: ISO/IEC 14496-12 for the boxes, RFC 8216 for what HLS asks of them.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from videos.boxes import CONTAINERS
from videos.errors import ToolFailed
from videos.model import Segments
from videos.movie import (
    DATA_OFFSET,
    DEFAULT_BASE_IS_MOOF,
    DURATION,
    PICTURE,
    SIZE,
    SOUND,
    Sample,
    Track,
    box,
    boxes,
    codecs,
    find,
    handler,
    samples,
    tracks,
    trafs,
)

# Boxes that hold boxes, and how many bytes come before those.
PICTURES = {b"avc1": 78, b"hvc1": 78}
HOLDERS = CONTAINERS | PICTURES | {b"edts": 0}
COMPRESSOR_NAME = slice(42, 74)  # of a video sample entry
COLOURS = b"nclx" + struct.pack(">HHHB", 1, 1, 1, 0)  # BT.709 in limited range: all that we publish
HEVC_SEI = (39, 40)  # NAL unit types of messages, in which encoders and cameras tell of themselves
NEAR_S = 0.001  # sound that begins so little before a cut goes behind it, lest rounding decide

Tables = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class _Fragment:
    """A moof and its mdat. ``chunks``: where in them a track's samples begin, and how many they are."""

    data: bytes
    chunks: Mapping[bytes, tuple[int, int]]


def put_index_first(written: Path, to: Path) -> Segments:
    """Make a fast-start file of what ffmpeg wrote, and say where its segments lie.

    Raises:
        ToolFailed: ffmpeg wrote something else; it must know ``hybrid_fragmented`` (7.1 or newer).
    """
    try:
        (_, brand), _, (_, media), (_, index) = boxes(written.read_bytes())
        (_, inner_brand), (_, inner_index), *halves = boxes(media)
    except ValueError:
        raise ToolFailed(
            "ffmpeg wrote no fragments.", suggestions=["FFMPEG must name version 7.1 or newer."]
        ) from None
    whole = [box(*moof) + box(*mdat) for moof, mdat in zip(halves[::2], halves[1::2], strict=True)]
    found = tracks(index)
    cuts_s = _cuts_s(whole, found[PICTURE])
    fragments = _with_their_sound(whole, cuts_s, found)
    init = box(b"ftyp", inner_brand) + _rebuilt(inner_index, lambda track: _one_edit(found[track]))
    front = box(b"ftyp", brand)
    init_at = len(front) + len(_index(index, fragments, 0)) + 8
    first_at = init_at + len(init)
    data = (fragment.data for fragment in fragments)
    to.write_bytes(front + _index(index, fragments, first_at) + box(b"mdat", init, *data))
    return Segments(
        codecs=codecs(index),
        init_at=init_at,
        init_bytes=len(init),
        sizes_bytes=tuple(len(fragment.data) for fragment in fragments),
        durations_s=tuple(round(after - before, 6) for before, after in pairwise(cuts_s)),
    )


def _index(moov: bytes, fragments: Sequence[_Fragment], first_at: int) -> bytes:
    """The index of a file whose first fragment begins at this byte."""
    starts = list(accumulate((len(fragment.data) for fragment in fragments[:-1]), initial=first_at))
    return _rebuilt(moov, lambda track: _chunk_tables(starts, fragments, track))


def _rebuilt(moov: bytes, tables_of: Callable[[bytes], Tables]) -> bytes:
    """A moov with other tables in each track."""
    inside = boxes(moov)
    return box(
        b"moov",
        *(_changed(kind, body, tables_of(handler(body)) if kind == b"trak" else {}) for kind, body in inside),
    )


def _one_edit(track: Track) -> Tables:
    """An edit list (elst) without an empty edit."""
    return {b"elst": struct.pack(">IIIiI", 0, 1, 0, track.skipped, 1 << 16)}


def _chunk_tables(starts: Sequence[int], fragments: Sequence[_Fragment], track: bytes) -> Tables:
    """Where the chunks of a track begin (stco), and how many samples each has (stsc)."""
    chunks = [
        (start + fragment.chunks[track][0], fragment.chunks[track][1])
        for start, fragment in zip(starts, fragments, strict=True)
        if fragment.chunks[track][1]
    ]
    places = b"".join(struct.pack(">I", place) for place, _ in chunks)
    counts = b"".join(struct.pack(">III", number, count, 1) for number, (_, count) in enumerate(chunks, 1))
    head = struct.pack(">II", 0, len(chunks))
    return {b"stco": head + places, b"stsc": head + counts}


def _changed(kind: bytes, body: bytes, tables: Tables) -> bytes:
    """A box with these ``tables`` for its own, and without what tells of encoders and cameras."""
    if kind in PICTURES:
        body = body[: COMPRESSOR_NAME.start] + bytes(32) + body[COMPRESSOR_NAME.stop :]
    if kind in HOLDERS:
        head = HOLDERS[kind]
        inside = [_changed(*inner, tables) for inner in boxes(body, head) if inner[0] != b"colr"]
        colours = [box(b"colr", COLOURS)] if kind in PICTURES else []
        return box(kind, body[:head], *inside, *colours)
    if kind == b"hvcC":
        body = _without_sei(body)
    return box(kind, tables.get(kind, body))


def _without_sei(configuration: bytes) -> bytes:
    """An HEVC decoder configuration with its parameter sets only (ISO/IEC 14496-15, 8.3.3.1)."""
    kept, at = [], 23
    for _ in range(configuration[22]):
        start, units = at, int.from_bytes(configuration[at + 1 : at + 3])
        at += 3
        for _ in range(units):
            at += 2 + int.from_bytes(configuration[at : at + 2])
        if configuration[start] & 0x3F not in HEVC_SEI:
            kept.append(configuration[start:at])
    return configuration[:22] + bytes([len(kept)]) + b"".join(kept)


def _cuts_s(fragments: Sequence[bytes], picture: Track) -> list[float]:
    """When the pictures of each fragment begin to be shown, and when the last of them ends."""
    shown = [samples(fragment, picture) for fragment in fragments]
    begins = [keyframe.at + keyframe.delay for keyframe, *_ in shown]
    end = max(sample.at + sample.delay + sample.duration for sample in shown[-1])
    return [picture.shown_s(at) for at in (*begins, end)]


def _with_their_sound(
    fragments: Sequence[bytes], cuts_s: Sequence[float], tracks: Mapping[bytes, Track]
) -> list[_Fragment]:
    """The same fragments, but the sound from one cut to the next is where the pictures are."""
    sound = tracks.get(SOUND)
    heard: list[list[Sample]] = [[] for _ in fragments]
    if sound:
        for sample in (sample for fragment in fragments for sample in samples(fragment, sound)):
            place = bisect_right(cuts_s, sound.shown_s(sample.at) + NEAR_S, hi=len(fragments)) - 1
            heard[max(0, place)].append(sample)
    return [
        _fragment(fragment, tracks[PICTURE], sound, kept)
        for fragment, kept in zip(fragments, heard, strict=True)
    ]


def _fragment(fragment: bytes, picture: Track, sound: Track | None, heard: Sequence[Sample]) -> _Fragment:
    """One with the pictures of ``fragment``, and with this sound."""
    [shown] = trafs(fragment, picture)
    pictures = samples(fragment, picture)
    pixels = b"".join(sample.data for sample in pictures)

    def moof(at: int) -> bytes:
        number = box(b"mfhd", find(fragment, b"moof", b"mfhd"))
        more = [_sound_traf(sound, heard, at + len(pixels))] if sound and heard else []
        return box(b"moof", number, _picture_traf(picture, shown, at), *more)

    at = len(moof(0)) + 8
    data = moof(at) + box(b"mdat", pixels, *(sample.data for sample in heard))
    return _Fragment(data, {PICTURE: (at, len(pictures)), SOUND: (at + len(pixels), len(heard))})


def _picture_traf(picture: Track, traf: bytes, at: int) -> bytes:
    """As ffmpeg wrote it, but with samples ``at`` this byte after that of the moof."""
    run = find(traf, b"trun")
    begin = int.from_bytes(find(traf, b"tfdt")[4:]) + picture.late
    told = box(b"trun", run[:8], struct.pack(">I", at), run[12:])
    return box(b"traf", box(b"tfhd", find(traf, b"tfhd")), _begin(begin), told)


def _sound_traf(sound: Track, heard: Sequence[Sample], at: int) -> bytes:
    head = struct.pack(">I4s", DEFAULT_BASE_IS_MOOF, sound.id)
    run = struct.pack(">III", DATA_OFFSET | DURATION | SIZE, len(heard), at)
    run += b"".join(struct.pack(">II", sample.duration, len(sample.data)) for sample in heard)
    return box(b"traf", box(b"tfhd", head), _begin(heard[0].at + sound.late), box(b"trun", run))


def _begin(at: int) -> bytes:
    """When the first sample of a fragment is decoded, in 64 bits."""
    return box(b"tfdt", struct.pack(">IQ", 1 << 24, at))
