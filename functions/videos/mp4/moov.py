"""Rewrites the moov boxes that ffmpeg wrote: new places of the samples, and nothing private.

Source: ISO/IEC 14496-12 for the boxes, 14496-15 for the decoder configurations.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from videos.mp4.boxes import CONTAINERS, box, boxes, find
from videos.mp4.movie import Track, handler

# Boxes that contain boxes, with the number of bytes before the first of them.
PICTURES = {b"avc1": 78, b"hvc1": 78}
HOLDERS = CONTAINERS | PICTURES | {b"edts": 0}
COMPRESSOR_NAME = slice(42, 74)  # of a video sample entry
COLOURS = b"nclx" + struct.pack(">HHHB", 1, 1, 1, 0)  # limited-range BT.709, as all our outputs
HEVC_SEI = (39, 40)  # NAL unit types of SEI messages, which identify encoders and cameras

Tables = Mapping[bytes, bytes]


class Chunk(NamedTuple):
    """Consecutive samples of one track: the byte where they start, their number and their duration."""

    at: int
    samples: int
    duration: int


def indexed(moov: bytes, chunks: Mapping[bytes, Sequence[Chunk]]) -> bytes:
    """The moov of a file with these chunks, by track id. Its size does not depend on where they lie."""
    return _rebuilt(moov, lambda trak: _tables(trak, chunks.get(find(trak, b"tkhd")[12:16], ())))


def for_fragments(moov: bytes, by_type: Mapping[bytes, Track]) -> bytes:
    """The moov of an init section. Its edit lists (elst) have no empty edit."""
    return _rebuilt(moov, lambda trak: {b"elst": _one_edit(by_type[handler(trak)])})


def _one_edit(track: Track) -> bytes:
    return struct.pack(">IIIiI", 0, 1, 0, track.skipped, 1 << 16)


def _tables(trak: bytes, chunks: Sequence[Chunk]) -> Tables:
    """The tables of a track with these chunks: where they lie (stco), and the samples in each (stsc).

    The duration (mdhd) is that of the samples. ffmpeg adds how long frames wait for being presented.
    """
    places = b"".join(struct.pack(">I", chunk.at) for chunk in chunks)
    sizes = groupby(enumerate(chunks, 1), key=lambda numbered: numbered[1].samples)
    runs = [(next(run)[0], samples) for samples, run in sizes]  # each until the next one begins
    counts = b"".join(struct.pack(">III", first, samples, 1) for first, samples in runs)
    header = find(trak, b"mdia", b"mdhd")
    duration = sum(chunk.duration for chunk in chunks)
    return {
        b"stco": struct.pack(">II", 0, len(chunks)) + places,
        b"stsc": struct.pack(">II", 0, len(runs)) + counts,
        b"mdhd": header[:16] + struct.pack(">I", duration) + header[20:],
    }


def _rebuilt(moov: bytes, tables_of: Callable[[bytes], Tables]) -> bytes:
    """A moov with the tables of each trak replaced, and without the user data, which is empty."""
    inside = (
        _changed(kind, body, tables_of(body) if kind == b"trak" else {})
        for kind, body in boxes(moov)
        if kind != b"udta"
    )
    return box(b"moov", *inside)


def _changed(kind: bytes, body: bytes, tables: Tables) -> bytes:
    """A box with these ``tables`` replaced, and without data that identifies encoders or cameras."""
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
