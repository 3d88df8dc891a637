"""Recordings joined by units that end a sequence: what follows does not refer to what came before."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from support.cases.joining import append_unit, hevc_types, sized
from support.cases.mp4_file import Movie, Track
from support.cases.parts import clip, picture, tones
from support.cases.table import FRAMES_A_SECOND, Right, case, tones_of

CRA = 21  # type of an HEVC unit: a keyframe that others may follow which are shown before it
HEVC_END_OF_SEQUENCE, HEVC_END_OF_BITSTREAM = bytes([36 << 1, 1]), bytes([37 << 1, 1])
H264_END_OF_SEQUENCE, H264_END_OF_STREAM = bytes([10]), bytes([11])
LEADING = 3  # pictures that follow a keyframe of ``open_groups`` and are shown before it


def open_groups(folder: Path) -> Movie:
    """Eight seconds of HEVC whose groups of pictures are open: each begins with CRA and RASL pictures."""
    open_gop = {"seconds": 8, "codec": "libx265", "gop": 32, "b_frames": LEADING, "settings": "open-gop=1"}
    movie = Movie.read(picture(folder, **open_gop))  # type: ignore[arg-type]
    track = movie.picture
    track.samples = [
        replace(sample, keyframe=sample.keyframe or CRA in hevc_types(sample)) for sample in track.samples
    ]
    return movie


def keep(track: Track, spans: Sequence[tuple[int, int]], end: bytes, leading: int = 0) -> None:
    """Keep these spans of pictures, each from a keyframe to before another; ``end`` is between them.

    A keyframe is decoded before its ``leading`` pictures.
    """
    samples, last, kept = track.samples, spans[-1], []
    for begin, stop in spans:
        if kept:
            kept[-1] = replace(kept[-1], data=kept[-1].data + sized(end))
        kept += samples[max(0, begin - leading) : stop if (begin, stop) == last else stop - leading]
    track.samples = kept
    track.show_all()


def shown(spans: Sequence[tuple[int, int]], leading: int = 0) -> Right:
    """What is right where these spans of pictures follow each other.

    Where groups are open, the last ``leading`` pictures of each span but the last are not there: they
    come after the keyframe that was cut off. Those before a keyframe that begins anew cannot be decoded,
    and it lets a decoder drop what it has not shown yet (ITU-T H.265, C.5.2.2).
    """
    numbers, times, optional, at = [], [], set(), 0
    for begin, stop in spans:
        end = stop
        if leading and (begin, stop) != spans[-1]:
            end = stop - leading
            optional |= {end - 1, end - 2}
        numbers += range(begin, end)
        times += (place / FRAMES_A_SECOND for place in range(at, at + end - begin))
        at += stop - begin
    return Right(numbers=numbers, times_s=times, optional=frozenset(optional))


TWO_OPEN = ((0, 64), (128, 240))


@case("hevc_joined_eos", shown(TWO_OPEN, LEADING), sample=True)
def hevc_joined_eos(folder: Path) -> Movie:
    """Two HEVC recordings joined by an end-of-sequence unit; the second begins with CRA and RASL pictures."""
    movie = open_groups(folder)
    keep(movie.picture, TWO_OPEN, HEVC_END_OF_SEQUENCE, LEADING)
    return movie


@case("hevc_joined_eos", shown(TWO_OPEN, LEADING))
def hevc_joined_eob(folder: Path) -> Movie:
    """The same, joined by an end-of-bitstream unit."""
    movie = open_groups(folder)
    keep(movie.picture, TWO_OPEN, HEVC_END_OF_BITSTREAM, LEADING)
    return movie


THREE = ((0, 64), (128, 160), (192, 240))


@case("hevc_joined_eos", shown(THREE, LEADING))
def hevc_three_recordings(folder: Path) -> Movie:
    """Three HEVC recordings in fragments, an end-of-sequence unit after the first and the second."""
    movie = open_groups(folder)
    keep(movie.picture, THREE, HEVC_END_OF_SEQUENCE, LEADING)
    return movie.in_fragments(seconds=2)


TWO = ((0, 60), (120, 240))


@case("hevc_joined_eos", shown(TWO))
def hevc_joined_eos_idr(folder: Path) -> Movie:
    """Two HEVC recordings whose groups are closed: the second begins with an IDR picture."""
    movie = Movie.read(picture(folder, seconds=8, codec="libx265", b_frames=2))
    keep(movie.picture, TWO, HEVC_END_OF_SEQUENCE)
    return movie


@case("hevc_joined_eos", shown(TWO))
def h264_joined_eos(folder: Path) -> Movie:
    """Two H.264 recordings with B-frames, an end-of-sequence unit between them."""
    movie = Movie.read(picture(folder, seconds=8, b_frames=2))
    keep(movie.picture, TWO, H264_END_OF_SEQUENCE)
    return movie


@case("hevc_joined_eos", Right(numbers=range(180), tones=tones_of((0, 6))))
def hevc_ended(folder: Path) -> Movie:
    """One HEVC recording with sound; an end-of-sequence and an end-of-bitstream unit are its last."""
    movie = Movie.of(picture(folder, codec="libx265", b_frames=2), tones(folder))
    append_unit(movie.picture, -1, HEVC_END_OF_SEQUENCE)
    append_unit(movie.picture, -1, HEVC_END_OF_BITSTREAM)
    return movie


@case("hevc_joined_eos", Right(numbers=range(180), tones=tones_of((0, 6))))
def h264_ended_each_second(folder: Path) -> Movie:
    """H.264 with sound; each group of pictures ends with end-of-sequence, the last with end-of-stream."""
    movie = clip(folder, b_frames=2)
    for number in range(29, 179, 30):
        append_unit(movie.picture, number, H264_END_OF_SEQUENCE)
    append_unit(movie.picture, 179, H264_END_OF_STREAM)
    return movie
