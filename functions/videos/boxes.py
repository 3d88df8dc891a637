"""The box structure of an MP4 or MOV file (ISO/IEC 14496-12), as far as trust needs it.

ffprobe reads what it can and keeps quiet about the rest; this asks whether the bytes that
the boxes announce are there, and whether they are plain and our own.
"""

from collections.abc import Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

# Boxes that hold boxes, on the way to what we look for, and how many bytes come before those.
CONTAINERS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"dinf": 0, b"dref": 8, b"stbl": 0, b"stsd": 8}
ENCRYPTED = {b"encv", b"enca", b"drmi", b"drms", b"pssh"}
MOST_BOXES = 10_000  # far more than any camera writes; a bound for files made to be slow
PROTECTED = "The file is encrypted (DRM)."
ELSEWHERE = "The file refers to media in another file."
SELF_CONTAINED = 1  # flag of a data reference: the media is in this very file

type_and_span = tuple[bytes, int, int]


def faults(path: Path) -> tuple[str, ...]:
    """What the boxes say is wrong with a file, a sentence each; () if nothing.

    A file that does not look like boxes at all has none: let ffprobe speak of it.
    """
    if not path.stat().st_size:  # nothing to map
        return ()
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return tuple(_faults(data))


def _faults(data: mmap) -> dict[str, None]:
    found: dict[str, None] = {}  # in order, each once
    kinds = set()
    cut_off = ""  # the outermost box that is; what is in it is cut off with it
    for kind, start, end in islice(_walk(data, 0, len(data)), MOST_BOXES):
        kinds.add(kind)
        if end > len(data) and kind in (b"mdat", b"moov", b"moof", b"trak") and not cut_off:
            cut_off = (
                f"The file ends too early: {end - len(data):,} bytes of its {kind.decode()} box are missing."
            )
            found[cut_off] = None
        if kind in ENCRYPTED:
            found[PROTECTED] = None
        if kind in (b"url ", b"urn ", b"alis") and data[start + 3 : start + 4] != bytes([SELF_CONTAINED]):
            found[ELSEWHERE] = None
    if b"mdat" in kinds and b"moov" not in kinds:
        found["The file ends before its index (moov box): the recording or upload was cut off."] = None
    return found


def _walk(data: mmap, start: int, end: int, depth: int = 0) -> Iterator[type_and_span]:
    """Every box from ``start`` to ``end`` and inside the containers: (type, first byte of its body, its end).

    The end is where the box says, which may be past the end of the data.
    """
    while start + 8 <= min(end, len(data)):
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        header = 8
        if size == 1:  # a 64-bit size follows
            size, header = int.from_bytes(data[start + 8 : start + 16]), 16
        elif size == 0:  # to the end
            size = end - start
        if size < header:
            return
        yield kind, start + header, start + size
        if kind in CONTAINERS and depth < len(CONTAINERS):
            yield from _walk(data, start + header + CONTAINERS[kind], min(start + size, end), depth + 1)
        start += size
