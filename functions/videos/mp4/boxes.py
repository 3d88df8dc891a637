"""Read, write and find the boxes of an MP4 or MOV file.

Source: ISO/IEC 14496-12.
"""

import struct
from collections.abc import Iterator
from typing import TypeVar

# Boxes that contain boxes, with the number of bytes before the first of them.
CONTAINERS = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"dinf": 0, b"dref": 8, b"stbl": 0, b"stsd": 8}
Data = TypeVar("Data", bytes, memoryview)  # parts of a memoryview are no copies


def boxes(data: Data, start: int = 0) -> Iterator[tuple[bytes, Data]]:
    """The type and the body of each box."""
    while start < len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, data[start + 8 : start + size]
        start += size


def box(kind: bytes, *bodies: bytes) -> bytes:
    return b"".join([header(kind, sum(map(len, bodies))), *bodies])


def header(kind: bytes, body_bytes: int) -> bytes:
    """What comes before the body of a box."""
    return struct.pack(">I4s", 8 + body_bytes, kind)


def find(data: Data, *path: bytes) -> Data:
    """The body of the box at ``path``; takes the first box of each kind. Raises StopIteration."""
    for kind in path:
        data = next(body for name, body in boxes(data) if name == kind)
    return data
