"""The NAL units of a track, counted by their first bytes: floods, keyframes, and joined recordings."""

from pathlib import Path

import pytest

from videos.checking.ffprobe import Packet
from videos.checking.units import Units, read_units

H264_SLICE, H264_IDR, H264_SEI, H264_SPS, H264_PPS = 1, 5, 6, 7, 8
TRAIL, RASL, BLA, IDR, CRA, VPS, SPS, PPS, END_OF_SEQUENCE = 1, 9, 16, 19, 21, 32, 33, 34, 36


def read(
    tmp_path: Path, *samples: list[int], codec: str = "h264", keyframes: tuple[int, ...] = (0,)
) -> Units:
    """What is found in samples of these types of units, one byte of length and two of content each."""
    path, packets, data = tmp_path / "samples", [], b"ftyp"
    for number, types in enumerate(samples):
        sample = b"".join(bytes([2, kind << 1 if codec == "hevc" else kind, 0x80]) for kind in types)
        flags = "K__" if number in keyframes else "___"
        packets.append(Packet(stream_index=0, pts=number, pos=len(data), size=len(sample), flags=flags))
        data += sample
    path.write_bytes(data)
    return read_units(path, packets, codec, 1)


@pytest.mark.parametrize(("units", "is_a_flood"), [(1_000, False), (1_001, True)])
@pytest.mark.parametrize("kind", [H264_SLICE, H264_SEI, H264_PPS, 12])
def test_a_sample_has_at_most_a_thousand_units(tmp_path, kind, units, is_a_flood):
    found = read(tmp_path, [H264_IDR], [kind] * units)

    assert bool(found.faults) is is_a_flood


@pytest.mark.parametrize(("codec", "sets"), [("h264", [H264_SPS, H264_PPS]), ("hevc", [VPS, SPS, PPS, PPS])])
def test_a_track_has_at_most_ten_thousand_parameter_sets(tmp_path, codec, sets):
    keyframe = IDR if codec == "hevc" else H264_IDR
    times = 10_000 // len(sets)

    assert read(tmp_path, *[[*sets, keyframe]] * times, codec=codec).faults == ()
    [fault] = read(tmp_path, *[[*sets, keyframe]] * times, sets, codec=codec).faults
    assert "10,000 parameter sets" in fault


def test_a_length_that_makes_no_sense_ends_the_sample(tmp_path):
    path = tmp_path / "samples"
    path.write_bytes(bytes([0xFF, 0xFF, 0xFF, 0xFF, H264_IDR]) * 3 + bytes(3))
    beyond = [Packet(stream_index=0, pos=at, size=1000, flags="K__") for at in (0, 13, 10_000)]

    assert read_units(path, [*beyond, Packet(stream_index=0)], "h264", 4).faults == ()


def test_in_h264_only_an_idr_picture_starts_a_closed_group(tmp_path):
    closed = read(tmp_path, [H264_SPS, H264_IDR], [H264_SLICE], [H264_IDR], keyframes=(0, 2))
    by_a_message = read(tmp_path, [H264_IDR], [H264_SEI, H264_SLICE], keyframes=(0, 1))

    assert closed.closed_gops
    assert not by_a_message.closed_gops


@pytest.mark.parametrize(
    ("codec", "message", "picture"), [("h264", H264_SEI, H264_IDR), ("hevc", 39, IDR), ("hevc", 40, IDR)]
)
def test_messages_are_looked_for_at_keyframes_after_the_first(tmp_path, codec, message, picture):
    first = read(tmp_path, [message, picture], [picture], codec=codec, keyframes=(0, 1))
    later = read(tmp_path, [picture], [message, picture], codec=codec, keyframes=(0, 1))
    between = read(tmp_path, [picture], [message, picture], codec=codec, keyframes=(0,))

    assert (first.messages, later.messages, between.messages) == (False, True, False)


@pytest.mark.parametrize(
    ("codec", "parameter_set", "keyframe"),
    [("h264", H264_SPS, H264_IDR), ("h264", H264_PPS, H264_IDR), ("hevc", SPS, IDR)],
)
def test_parameter_sets_in_samples_are_seen_wherever_they_are(tmp_path, codec, parameter_set, keyframe):
    none = read(tmp_path, [keyframe], [1], codec=codec)
    in_the_last = read(tmp_path, [keyframe], [1], [1, parameter_set], codec=codec)

    assert (none.sets, in_the_last.sets) == (False, True)


@pytest.mark.parametrize("sample", [bytes([3, H264_IDR, 0x80]), bytes([2, H264_IDR, 0x80, 0]), bytes(3)])
def test_samples_that_are_not_whole_units_may_have_parameter_sets(tmp_path, sample):
    path = tmp_path / "samples"
    path.write_bytes(bytes(4) + sample)
    known = Packet(stream_index=0, pos=4, size=len(sample), flags="K__")

    assert read_units(path, [known], "h264", 1).sets
    assert read_units(path, [Packet(stream_index=0, size=3)], "h264", 1).sets


def test_without_lengths_nothing_is_known_to_be_closed_or_without_parameter_sets(tmp_path):
    units = read_units(tmp_path / "none", [], "h264", 0)

    assert (units.closed_gops, units.sets) == (False, True)


# RASL pictures refer to pictures before their CRA picture (H.265, 8.1.3): only a decoder that began there
# has none of them.
@pytest.mark.parametrize(
    ("samples", "skipped"),
    [
        ([[IDR], [TRAIL], [CRA], [RASL], [RASL], [TRAIL]], 0),
        ([[CRA], [RASL], [RASL], [TRAIL]], 2),
        ([[IDR], [BLA], [RASL], [TRAIL]], 1),
        ([[IDR], [TRAIL, END_OF_SEQUENCE], [CRA], [RASL], [TRAIL], [CRA], [RASL]], 16 + 1),
        ([[IDR], [TRAIL, END_OF_SEQUENCE], [IDR], [TRAIL]], 16),
    ],
    ids=["amid a recording", "at the start", "after a splice", "after an end", "closed after an end"],
)
def test_hevc_pictures_that_a_decoder_leaves_out_are_counted(tmp_path, samples, skipped):
    assert read(tmp_path, *samples, codec="hevc").skipped == skipped
