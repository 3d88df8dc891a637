"""What holds for every file there could be, not only for those at hand."""

import shlex
from dataclasses import fields, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from support.corpus import box, u32
from videos.checking.advice import repair_command
from videos.checking.ffprobe import Packet, Picture, SideData, Stream
from videos.checking.geometry import displayed_size, turn
from videos.checking.rules import BT709, SPEC, check, check_size, warnings
from videos.checking.timing import frame_rate, seconds, span
from videos.model import Audio, Media
from videos.mp4 import integrity
from videos.mp4.boxes import CONTAINERS

pytestmark = pytest.mark.filterwarnings("error")
QUICK = settings(max_examples=100)
GOOD = Media(
    content="video/mp4",
    size_bytes=1_000_000,
    video_streams=1,
    codec="h264",
    width_px=720,
    height_px=1280,
    frame_rate=30.0,
    duration_s=10.0,
)

# ── Any file ─────────────────────────────────────────────────────────────────────

positive = st.floats(0, 1e9)
colours = (
    st.sampled_from(("", "bt709", "smpte170m", "bt470bg", "bt2020", "smpte2084", "arib-std-b67")) | st.text()
)
audios = st.builds(
    Audio,
    stream_index=st.integers(0, 500),
    codec=st.text(),
    duration_s=positive,
    channels=st.integers(0, 255),
)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "content": st.sampled_from(("video/mp4", "image/png")) | st.text(min_size=1),
    "size_bytes": st.integers(0, 2**63) | st.sampled_from((0, 1, SPEC.max_bytes, SPEC.max_bytes + 1)),
    "video_streams": st.integers(0, 500),
    "stream_index": st.integers(0, 500),
    "codec": st.sampled_from(("h264", "hevc", "av1", "prores")) | st.text(min_size=1),
    "width_px": st.sampled_from((720, 1280)) | st.integers(0, 2**31),
    "height_px": st.sampled_from((720, 1280)) | st.integers(0, 2**31),
    "other_sizes": st.lists(st.sampled_from(("1x1", "1280x720"))).map(tuple),
    "rotation": st.sampled_from((0, 90, 180, 270)) | st.integers(0, 359),
    "frame_rate": st.sampled_from((29.91, 29.92, 29.97, 30.0, 30.05, 30.06)) | positive,
    "odd_gap_share": st.sampled_from((0.05, 0.0501)) | st.floats(0, 1),
    "duration_s": st.sampled_from((0.0, 60.0, 60.1, 60.11)) | positive,
    "color_primaries": colours,
    "color_transfer": colours,
    "color_space": colours,
    "audio": st.none() | audios,
    "faults": st.lists(st.sampled_from(("The file is encrypted (DRM).", "Bytes are missing."))).map(tuple),
}
# A good file with some of its facts changed, so that accepted ones are met as often as refused ones.
medias = st.fixed_dictionaries({}, optional=CHANGES).map(lambda changes: replace(GOOD, **changes))


def inside(media: Media) -> bool:
    """Whether the table in docs/media.md accepts it, written a second time."""
    said = {
        "primaries": media.color_primaries,
        "transfer": media.color_transfer,
        "matrix": media.color_space,
    }
    return (
        media.video_streams == 1
        and media.codec in ("h264", "hevc")
        and not media.faults
        and 1 <= media.size_bytes <= 6_291_456
        and (media.width_px, media.height_px, media.other_sizes) == (720, 1280, ())
        and media.rotation in (0, 90, 180, 270)
        and 29.97 - 0.05 <= media.frame_rate <= 30 + 0.05
        and media.odd_gap_share <= 0.05
        and 0 < media.duration_s <= 60 + 0.1
        and all(not value or value in BT709[name] for name, value in said.items())
    )


@QUICK
@given(medias)
def test_a_file_is_accepted_exactly_when_it_is_inside_the_ranges(media):
    assert (check(media) == ()) is inside(media)


def test_a_picture_in_a_codec_without_a_name_is_refused():
    assert check(replace(GOOD, codec=""))


@QUICK
@given(medias)
def test_every_problem_says_something_in_every_field(media):
    for problem in check(media):
        assert all(getattr(problem, field.name) for field in fields(problem))
        assert problem.message.startswith("Invalid ")
        assert all(problem.suggestions)
        assert len(problem.suggestions) >= 3  # what is expected, iPhone, Android


@QUICK
@given(medias)
def test_no_rule_speaks_twice_and_warnings_never_fail(media):
    rules = [problem.rule for problem in check(media)]

    assert len(rules) == len(set(rules))
    assert all(warnings(media))


@given(st.integers())
def test_the_size_alone_is_judged_like_the_size_of_the_file(size):
    assert (check_size(size) == ()) is (1 <= size <= SPEC.max_bytes)


@QUICK
@given(medias)
def test_a_mend_command_is_one_command_of_a_shell_or_none(media):
    command = repair_command(media, max_bytes=SPEC.max_bytes, max_duration_s=SPEC.max_duration_s)

    if not command:
        return
    words = shlex.split(command)
    assert (words[0], words[-1]) == ("ffmpeg", "OUTPUT.mp4")
    assert shlex.join(words) == command  # nothing in it is left for the shell to expand, pipe or part
    assert int(words[words.index("-maxrate") + 1]) > 0
    if "-t" in words:
        assert float(words[words.index("-t") + 1]) == SPEC.max_duration_s < media.duration_s
    assert "\n" not in command


# ── Times ────────────────────────────────────────────────────────────────────────


def at(times: list[int]) -> list[Packet]:
    return [Packet(stream_index=0, pts=time, duration=1) for time in times]


@QUICK
@given(st.lists(st.floats(-0.24, 0.24), min_size=60, max_size=300))
def test_jitter_below_half_a_frame_passes(jitter):
    # Two neighbours move by under a half together, so that every gap stays within a half and one and a half.
    jitter[0] = jitter[-1] = 0.0
    times = [round((n + shift) * 3000) for n, shift in enumerate(jitter)]

    rate, odd_gap_share = frame_rate(at(times), Fraction(1, 90_000))

    assert rate == pytest.approx(30, abs=0.01)
    assert odd_gap_share == 0
    assert check(replace(GOOD, frame_rate=rate, odd_gap_share=odd_gap_share)) == ()


@QUICK
@given(
    st.lists(st.integers(0, 100_000), min_size=1, max_size=60, unique=True), st.randoms(use_true_random=False)
)
def test_the_order_of_packets_does_not_matter(times, chance):
    shuffled = times.copy()
    chance.shuffle(shuffled)

    assert frame_rate(at(times), Fraction(1, 600)) == frame_rate(at(shuffled), Fraction(1, 600))


@QUICK
@given(
    st.lists(st.integers(-(2**40), 2**40), min_size=2, max_size=60),
    st.integers(1, 1000),
    st.integers(1, 100_000),
)
def test_a_finer_time_base_tells_the_same(times, finer, ticks):
    assert frame_rate(at([time * finer for time in times]), Fraction(1, ticks * finer)) == frame_rate(
        at(times), Fraction(1, ticks)
    )


@QUICK
@given(st.lists(st.integers(-(2**62), 2**62), max_size=40), st.integers(1, 2**31), st.integers(1, 2**31))
def test_any_times_give_a_rate_and_a_share(times, numerator, denominator):
    rate, odd_gap_share = frame_rate(at(times), Fraction(numerator, denominator))

    assert rate >= 0
    assert 0 <= odd_gap_share <= 1


@QUICK
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(-(2**40), 2**40))
def test_the_duration_is_from_the_first_picture_to_the_end_of_the_last(times, shift):

    lasting = seconds([span(at([time + shift for time in times]), Fraction(1, 600))])

    assert lasting == pytest.approx((max(times) - min(times) + 1) / 600, abs=1e-6)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(("video", "audio", "data")), st.integers(0, 10_000)), max_size=8))
def test_the_duration_is_that_of_the_longest_picture_or_sound(tracks):
    streams = [Stream(index=n, codec_type=kind, time_base="1/100") for n, (kind, _) in enumerate(tracks)]
    packets = {n: at([0, length]) for n, (_, length) in enumerate(tracks)}

    longest = max((length + 1 for kind, length in tracks if kind != "data"), default=0)
    spans = [span(packets[stream.index], Fraction(stream.time_base)) for stream in streams if stream.is_media]
    assert seconds(spans) == pytest.approx(longest / 100)


# ── The picture ──────────────────────────────────────────────────────────────────


def stream_with(*side_data: SideData) -> Stream:
    return Stream(index=0, codec_type="video", time_base="1/600", side_data_list=side_data)


def matrix(a: int, b: int, c: int, d: int) -> str:
    rows = ((a, b, 0), (c, d, 0), (0, 0, 1 << 30))
    return (
        "\n"
        + "\n".join(f"{n:08d}: " + " ".join(f"{x:>11}" for x in row) for n, row in enumerate(rows))
        + "\n"
    )


sixteen = st.integers(-(2**31), 2**31 - 1)


@QUICK
@given(st.integers(-180, 180), sixteen, sixteen, sixteen, sixteen)
def test_any_matrix_is_a_turn_and_maybe_a_mirror(angle, a, b, c, d):
    rotation, mirrored = turn(stream_with(SideData(displaymatrix=matrix(a, b, c, d), rotation=angle)))

    assert 0 <= rotation < 360
    assert (rotation + angle) % 360 == 0
    assert mirrored is (a * d < b * c)


def test_without_a_matrix_nothing_is_turned():
    assert turn(stream_with()) == turn(stream_with(SideData(side_data_type="Stereo 3D"))) == (0, False)


@QUICK
@given(st.integers(0, 16_384), st.integers(0, 16_384), st.sampled_from((0, 180)), st.sampled_from((90, 270)))
def test_a_quarter_turn_swaps_the_sides(width, height, upright, sideways):
    picture = Picture(width=width, height=height)

    assert displayed_size(picture, upright) == (width, height)
    assert displayed_size(picture, sideways) == (height, width)


@QUICK
@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_any_pixel_shape_gives_a_size(numerator, denominator):
    picture = Picture(width=720, height=1280, sample_aspect_ratio=f"{numerator}:{denominator}")

    width, height = displayed_size(picture, 0)

    assert height == 1280
    assert width == (round(720 * numerator / denominator) if numerator and denominator else 720)


# ── Boxes ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("boxes") / "file"


kinds = st.sampled_from((*CONTAINERS, *integrity.ENCRYPTED, b"mdat", b"moof", b"free", b"url ", b"alis"))
leaves = st.builds(box, kinds, st.binary(max_size=24), says=st.none() | st.integers(0, 2**32 - 1))
trees = st.recursive(
    leaves, lambda inner: st.builds(lambda kind, parts: box(kind, *parts), kinds, st.lists(inner))
)


@QUICK
@given(st.binary(max_size=400) | st.lists(trees).map(b"".join))
@example(u32(1) + b"moov" + bytes(8))  # a 64-bit size of nothing
@example(u32(1) + b"moov" + b"\xff" * 8)
@example(u32(0) + b"trak" + u32(0) + b"trak")  # to the end, and again
@example(u32(8) + b"url ")  # no room for its flags
@pytest.mark.thorough
def test_any_boxes_give_sentences_that_say_each_thing_once(scratch, data):
    assume(data)  # of nothing at all nobody asks
    scratch.write_bytes(data)

    found = integrity.faults(scratch)

    assert len(found) == len(set(found))
    assert all(sentence.isprintable() and sentence.endswith(".") for sentence in found)


@QUICK
@given(st.lists(st.tuples(st.sampled_from((b"free", b"mdat", b"moov")), st.binary(max_size=50)), min_size=1))
def test_of_whole_boxes_only_a_missing_index_is_said(scratch, whole):
    assume(all(kind != b"moov" or not body for kind, body in whole))
    scratch.write_bytes(b"".join(box(kind, body) for kind, body in whole))

    met = {kind for kind, _ in whole}
    assert bool(integrity.faults(scratch)) is (b"mdat" in met and b"moov" not in met)


@QUICK
@given(st.integers(1, 100), st.integers(1, 10**6))
def test_what_a_box_announces_is_missed_to_the_byte(scratch, there, missing):
    scratch.write_bytes(box(b"moov") + box(b"mdat", bytes(there), says=8 + there + missing))

    [found] = integrity.faults(scratch)
    assert f" {missing:,} bytes " in found


def test_neighbours_are_compared_in_the_order_they_are_shown():
    times = [0, 60, 20, 40]  # as with B-frames

    gaps = [after - before for before, after in pairwise(sorted(times))]
    assert gaps == [20, 20, 20]
    assert frame_rate(at(times), Fraction(1, 600)) == (30.0, 0.0)
