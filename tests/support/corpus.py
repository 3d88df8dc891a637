"""Hostile files, byte by byte, so that git holds no binaries."""

import signal
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from types import FrameType

MOST_BYTES = 6 * 1024**2
IDENTITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # a matrix that turns nothing

# ── Boxes ────────────────────────────────────────────────────────────────────────


def u32(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4) for number in numbers)


def u16(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2) for number in numbers)


def box(kind: bytes, *parts: bytes, says: int | None = None) -> bytes:
    """One box; ``says`` is a size to claim instead of the true one."""
    body = b"".join(parts)
    return u32(len(body) + 8 if says is None else says) + kind + body


def nested(kind: bytes, times: int) -> bytes:
    """A box in a box in a box, every size true."""
    return b"".join(u32(8 * (times - level)) + kind for level in range(times))


def body_of(data: bytes, kind: bytes, nth: int = 0) -> int:
    """Where the body of the nth box of a kind begins."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(kind, at + 1)
    return at + 4


def patched(data: bytes, kind: bytes, offset: int, new: bytes, nth: int = 0) -> bytes:
    """The same file with other bytes at ``offset`` in the body of a box."""
    at = body_of(data, kind, nth) + offset
    return data[:at] + new + data[at + len(new) :]


def resized(data: bytes, kind: bytes, size: int, nth: int = 0) -> bytes:
    """The same file with a box that claims another size."""
    return patched(data, kind, -8, u32(size), nth)


def box_of(data: bytes, kind: bytes, nth: int = 0) -> bytes:
    """A whole box, as it is in the file."""
    start = body_of(data, kind, nth) - 8
    return data[start : start + int.from_bytes(data[start : start + 4])]


FILE_TYPE = box(b"ftyp", b"isom", u32(512), b"isomiso2avc1mp41")


def track(
    description: bytes,
    *,
    number: int = 1,
    durations: Sequence[tuple[int, int]],
    sizes: bytes,
    chunks: Sequence[int],
    samples_per_chunk: int,
    keyframes: Sequence[int] = (),
    timescale: int = 30_000,
    kind: bytes = b"vide",
) -> bytes:
    """A trak box. ``description`` is a whole stsd, ``sizes`` the body of the stsz after its version."""
    header = u32(0x3, 0, 0, number, 0, 0, 0, 0) + u16(0, 0, 0, 0) + IDENTITY + u32(720 << 16, 1280 << 16)
    stbl = box(
        b"stbl",
        description,
        box(b"stts", u32(0, len(durations)), *(u32(*pair) for pair in durations)),
        box(b"stsc", u32(0, 1, 1, samples_per_chunk, 1)),
        box(b"stsz", u32(0), sizes),
        box(b"stco", u32(0, len(chunks)), u32(*chunks)),
        box(b"stss", u32(0, len(keyframes)), u32(*keyframes)) if keyframes else b"",
    )
    dinf = box(b"dinf", box(b"dref", u32(0, 1), box(b"url ", u32(1))))
    return box(
        b"trak",
        box(b"tkhd", header),
        box(
            b"mdia",
            box(b"mdhd", u32(0, 0, 0, timescale, 0), u16(0x55C4, 0)),
            box(b"hdlr", u32(0, 0), kind, bytes(13)),
            box(b"minf", box(b"vmhd", u32(1, 0, 0)), dinf, stbl),
        ),
    )


def movie(*traks: bytes, media: bytes, extra: bytes = b"") -> bytes:
    """A file whose media data begins at MEDIA_AT."""
    rest = u32(1 << 16) + u16(1 << 8, 0) + u32(0, 0) + IDENTITY + bytes(24) + u32(99)
    moov = box(b"moov", box(b"mvhd", u32(0, 0, 0, 1000, 0), rest), *traks, extra)
    return FILE_TYPE + box(b"mdat", media) + moov


MEDIA_AT = len(FILE_TYPE) + 8


def tiny_frames(description: bytes, count: int, claimed: int | None = None) -> bytes:
    """``count`` real samples of one byte, at 30 frames per second; ``claimed`` ones in its tables."""
    claimed = count if claimed is None else claimed
    return movie(
        track(
            description,
            durations=[(claimed, 1000)],
            sizes=u32(1, claimed),
            chunks=[MEDIA_AT],
            samples_per_chunk=claimed,
        ),
        media=b"\x65" * count,
    )


def overlapping_frames(description: bytes, picture: bytes, count: int, size: int) -> bytes:
    """``count`` keyframes that are all the same ``size`` bytes: empty units, then one real picture."""
    frame = (u32(1) + b"\x0c") * ((size - len(picture)) // 5) + picture
    trak = track(
        description,
        durations=[(count, 1000)],
        sizes=u32(len(frame), count),
        chunks=[MEDIA_AT] * count,
        samples_per_chunk=1,
        keyframes=range(1, count + 1),
    )
    return movie(trak, media=frame)


def tracks(description: bytes, count: int) -> bytes:
    """That many video tracks, all of the same thirty bytes."""
    traks = (
        track(
            description,
            number=number,
            durations=[(30, 1000)],
            sizes=u32(1, 30),
            chunks=[MEDIA_AT],
            samples_per_chunk=30,
        )
        for number in range(1, count + 1)
    )
    return movie(*traks, media=bytes(30))


def broken_keyframes(description: bytes, count: int) -> bytes:
    """Keyframes of a few bytes, each with two parameter sets that make no sense."""
    unit = (u32(2) + b"\x68\xff") * 2
    trak = track(
        description,
        durations=[(count, 1000)],
        sizes=u32(len(unit), count),
        chunks=[MEDIA_AT],
        samples_per_chunk=count,
        keyframes=range(1, count + 1),
    )
    return movie(trak, media=unit * count)


def unmatched_boxes(count: int) -> bytes:
    """Boxes in boxes, each of which claims to reach past the end by another number of bytes."""
    return FILE_TYPE + b"".join(u32(16) + b"moov" + u32(0x7FFFFFF0) + b"trak" for _ in range(count))


# ── Files that are something else, or that too ───────────────────────────────────


def zipped() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("index.html", "<script>alert(1)</script>")
    return buffer.getvalue()


HTML = b"<!DOCTYPE html><html><script>alert('PAYLOAD')</script></html>\n"
PDF = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert('PAYLOAD'))>>>>endobj\n%%EOF\n"
PNG = b"\x89PNG\r\n\x1a\n" + u32(13) + b"IHDR" + u32(720, 1280) + b"\x08\x02\0\0\0" + bytes(4096)


def renamed(canary: str) -> dict[str, bytes]:
    """What a reader that guesses would follow to ``canary``, a path; and what is plainly no video."""
    address = "http://127.0.0.1:9/"
    texts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{canary}\n#EXTINF:9,\n{address}\n",
        "hls master": f'#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{canary}"\n'
        f"#EXT-X-STREAM-INF:BANDWIDTH=1\n{canary}\n",
        "hls with a key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{canary}"\n#EXTINF:9,\n{canary}\n',
        "dash": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{canary}</BaseURL>'
        '<Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"/>'
        "</AdaptationSet></Period></MPD>",
        "concat": f"ffconcat version 1.0\nfile '{canary}'\n",
        "xml": f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file://{canary}">]><a>&b;</a>',
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{canary}"/></svg>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "metadata": f";FFMETADATA1\ntitle={canary}\n",
        "script": f"#!/bin/sh\ncat {canary}\n",
    }
    return {name: (text * 3).encode() for name, text in texts.items()} | {
        "playlist behind a file type": FILE_TYPE + texts["hls"].encode(),
        "playlist in a movie": FILE_TYPE + box(b"moov", texts["hls"].encode()),
        "html": HTML * 20,
        "pdf": PDF * 20,
        "png": PNG,
        "zip": zipped(),
        "zero bytes": bytes(4096),
        "nothing": b"",
        "one byte": b"\0",
    }


def redirected(clip: bytes, canary: str) -> bytes:
    """A clip whose samples are said to be in another file, by the alias that QuickTime follows."""
    path = canary.encode()
    alias = u32(0) + bytes(4) + u16(150 + 8 + len(path)) + bytes(40) + bytes(90)
    records = u16(2, len(path)) + path + bytes(len(path) % 2) + u16(18, len(path)) + path + u16(0xFFFF, 0)
    at = body_of(clip, b"dref") - 8
    old = int.from_bytes(clip[at : at + 4])
    new = box(b"dref", u32(0, 1), box(b"alis", alias, records))
    grown = clip[:at] + new + clip[at + old :]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = body_of(grown, kind) - 8
        size = int.from_bytes(grown[place : place + 4]) + len(new) - old
        grown = grown[:place] + u32(size) + grown[place + 4 :]
    return grown


# ── Bounds for the tests themselves ──────────────────────────────────────────────


class TookTooLong(Exception):
    """A test waited long enough."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, even an endless loop of ours."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"no verdict in {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
