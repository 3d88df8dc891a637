"""What the index of an upload says of its tracks: edit lists, sample descriptions, sizes."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.corpus import box, u32
from videos.mp4.tracks import Edit, TrackIndex, read_tracks

MOVIE_RATE, MEDIA_RATE = 1_000, 30_000
NORMAL = 1 << 16
Row = tuple[int, int, int]  # duration, start in the media, speed


def elst(rows: Sequence[Row], version: int = 0) -> bytes:
    row = struct.Struct(">Qqi" if version else ">Iii")
    return box(b"elst", bytes([version, 0, 0, 0]), u32(len(rows)), *(row.pack(*fields) for fields in rows))


def movie(
    *rows: Row,
    version: int = 0,
    entries: int = 1,
    configuration_bytes: int = 30,
    mvex: bool = False,
    table: bytes = b"",
) -> bytes:
    """An index with one track."""
    head = bytes([version, 0, 0, 0]) + bytes(16 if version else 8)
    entry = box(b"avc1", bytes(78), box(b"avcC", bytes(configuration_bytes)))
    stbl = box(b"stbl", box(b"stsd", u32(0, entries), entry * entries), table)
    trak = box(
        b"trak",
        box(b"tkhd", head, u32(7), bytes(60)),
        box(b"edts", elst(rows, version)) if rows else b"",
        box(b"mdia", box(b"mdhd", head, u32(MEDIA_RATE), bytes(12)), box(b"minf", stbl)),
    )
    return box(
        b"moov",
        box(b"mvhd", head, u32(MOVIE_RATE), bytes(80)),
        trak,
        box(b"mvex", box(b"trex", bytes(24))) if mvex else b"",
    )


def read(tmp_path: Path, file: bytes) -> TrackIndex:
    path = tmp_path / "file"
    path.write_bytes(box(b"ftyp", b"isom") + file + box(b"mdat", bytes(10)))
    [track] = read_tracks(path).values()
    return track


@pytest.mark.parametrize("version", [0, 1])
def test_an_edit_list_is_read_in_seconds(tmp_path, version):
    track = read(tmp_path, movie((500, -1, NORMAL), (2_000, 45_000, NORMAL), version=version))

    assert track.id == 7
    assert track.edits == (Edit(0.5, None), Edit(2.0, 1.5))
    assert track.hidden_at_start_s == 1.5
    assert not track.is_cut
    assert track.faults == ()


def test_several_segments_are_a_cut(tmp_path):
    track = read(tmp_path, movie((1_000, 60_000, NORMAL), (1_000, 0, NORMAL)))

    assert track.is_cut
    assert track.hidden_at_start_s == 0
    assert track.faults == ()


@pytest.mark.parametrize(
    ("rows", "more", "fault"),
    [
        ([(9, 0, NORMAL), (9, -1, NORMAL)], {}, "An edit list leaves a hole in a track."),
        ([(9, -1, NORMAL), (9, -1, NORMAL), (9, 0, NORMAL)], {}, "An edit list leaves a hole in a track."),
        ([(9, 0, NORMAL // 2)], {}, "An edit list changes the speed of a track."),
        ([(9, 0, 0)], {}, "An edit list changes the speed of a track."),
        ([(9, 0, NORMAL)] * 2, {"mvex": True}, "An edit list joins several parts of a fragmented track."),
        ([], {"mvex": True, "entries": 2}, "A fragmented track has several sample descriptions."),
    ],
)
def test_what_no_tool_does_is_a_fault(tmp_path, rows, more, fault):
    assert read(tmp_path, movie(*rows, **more)).faults == (fault,)


def test_sample_descriptions_and_the_largest_configuration_are_counted(tmp_path):
    track = read(tmp_path, movie(entries=3, configuration_bytes=70_000))

    assert (track.descriptions, track.configuration_bytes) == (3, 70_000)
    assert (read(tmp_path, movie()).descriptions, read(tmp_path, movie()).edits) == (1, ())


def fragment(track_id: int, *counts: int) -> bytes:
    runs = [box(b"trun", u32(0, count)) for count in counts]
    return box(b"moof", box(b"mfhd", u32(0, 1)), box(b"traf", box(b"tfhd", u32(0, track_id)), *runs))


@pytest.mark.parametrize(
    ("table", "samples"),
    [
        (box(b"stsz", u32(0, 0, 3, 10, 20, 30)), 3),
        (box(b"stsz", u32(0, 512, 1_800)), 1_800),
        (box(b"stz2", u32(0, 8, 2), bytes(2)), 2),
        (b"", 0),
    ],
)
def test_the_samples_that_an_index_lists_are_counted(tmp_path, table, samples):
    assert read(tmp_path, movie(table=table)).samples == samples


def test_the_samples_of_fragments_are_counted_with_those_of_the_index(tmp_path):
    whole = movie(mvex=True, table=box(b"stsz", u32(0, 512, 10))) + fragment(7, 20, 30) + fragment(8, 400)

    assert read(tmp_path, whole + fragment(7, 1)).samples == 61


def test_a_file_without_an_index_has_no_tracks(tmp_path):
    path = tmp_path / "file"
    for data in (b"", bytes(100), box(b"moov"), box(b"moov", box(b"trak")), box(b"mdat", movie())):
        path.write_bytes(data)
        assert read_tracks(path) == {}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tracks") / "file"


WHOLE = movie(
    (500, -1, NORMAL), (2_000, 45_000, NORMAL), entries=2, mvex=True, table=box(b"stsz", u32(0, 512, 10))
) + fragment(7, 20, 30)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=20),
    st.integers(0, len(WHOLE)),
)
def test_any_damage_gives_tracks_or_none(scratch, changes, end):
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    scratch.write_bytes(bytes(data[:end]))

    for track in read_tracks(scratch).values():
        assert track.hidden_at_start_s >= 0
        assert track.descriptions >= 1
        assert track.configuration_bytes >= 0
        assert track.samples >= 0
        assert all(fault.endswith(".") for fault in track.faults)
