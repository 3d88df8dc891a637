"""Integrity checks on the box structure of an MP4 or MOV file (ISO/IEC 14496-12).

ffprobe reads what it can and ignores the rest. This checks that the bytes which the boxes
declare are present, unencrypted and in this file.
"""

from collections.abc import Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

from videos.model import ELSEWHERE, PROTECTED
from videos.mp4.boxes import CONTAINERS

ENCRYPTED = {b"encv", b"enca", b"drmi", b"drms", b"pssh"}
MAX_BOXES = 10_000  # far more than any camera writes; a limit against malicious files
SELF_CONTAINED = 1  # flag of a data reference: the media is in the same file

BoxSpan = tuple[int, int]  # start of the body, end
KindAndSpan = tuple[bytes, int, int]


def faults(path: Path) -> tuple[str, ...]:
    """The faults in a file's boxes, one sentence each; () if there are none.

    A file without any box structure has no faults here; ffprobe rejects it.
    """
    if not path.stat().st_size:  # nothing to map
        return ()
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return tuple(_faults(data))


def _faults(data: mmap) -> dict[str, None]:
    found: dict[str, None] = {}  # an ordered set
    kinds = set()
    truncated = ""  # the outermost truncated box; the boxes in it are truncated too
    for kind, start, end in islice(_walk(data, 0, len(data)), MAX_BOXES):
        kinds.add(kind)
        if end > len(data) and kind in (b"mdat", b"moov", b"moof", b"trak") and not truncated:
            truncated = (
                f"The file ends too early: {end - len(data):,} bytes of its {kind.decode()} box are missing."
            )
            found[truncated] = None
        if kind in ENCRYPTED:
            found[PROTECTED] = None
        if kind in (b"url ", b"urn ", b"alis") and data[start + 3 : start + 4] != bytes([SELF_CONTAINED]):
            found[ELSEWHERE] = None
    if b"mdat" in kinds and b"moov" not in kinds:
        found["The file ends before its index (moov box): the recording or upload was cut off."] = None
    return found


def _walk(data: mmap, start: int, end: int, depth: int = 0) -> Iterator[KindAndSpan]:
    """Every box from ``start`` to ``end`` and inside the containers, outer boxes first."""
    for kind, body, body_end in boxes_in(data, start, end):
        yield kind, body, body_end
        if kind in CONTAINERS and depth < len(CONTAINERS):
            yield from _walk(data, body + CONTAINERS[kind], min(body_end, end), depth + 1)


def boxes_in(data: mmap, start: int, end: int) -> Iterator[KindAndSpan]:
    """The boxes from ``start`` to ``end``, without those inside: (type, start of its body, end).

    The end is what the box declares; it may exceed the end of the data.
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
        start += size
