"""One file that plays in two ways: what ffmpeg wrote, put in order, and where its segments lie."""

import struct
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from clips import BT709, ffmpeg, probe_lines
from test_tools import TOOLS, stills_in
from videos import movie, tools
from videos.errors import ToolFailed
from videos.fragments import put_index_first
from videos.model import Segments
from videos.probe import probe

GOPS = ("-g", "30", "-keyint_min", "30", "-sc_threshold", "0")


def finished(source: Path, folder: Path) -> tuple[Path, Segments]:
    """A copy of ``source``, as it is published."""
    media = probe(source, TOOLS)
    poster, _ = stills_in(folder, media)
    tools.run(tools.playable_command(TOOLS, source, media, folder / "copy", poster), timeout_s=30)
    return folder / "copy.mp4", put_index_first(folder / "copy", folder / "copy.mp4")


def streams(path: Path) -> list[str]:
    """A hash of every decoded picture and of every packet of sound, with its time."""
    lines = ffmpeg("-i", str(path), "-map", "0", "-c:a", "copy", "-f", "framemd5", "-").splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def cut(clip, tmp_path_factory):
    """Five seconds with a keyframe every second: source, file, segments."""
    source = clip(seconds=5, size="720x1280", options=GOPS)
    return source, *finished(source, tmp_path_factory.mktemp("cut"))


def test_the_whole_file_plays_as_the_source_does(cut):
    source, path, _ = cut

    assert streams(path) == streams(source)


def test_the_segments_alone_play_as_the_source_does(cut, tmp_path):
    source, path, segments = cut
    data, end = path.read_bytes(), segments.init_at + segments.init_bytes
    fragmented = tmp_path / "fragmented.mp4"
    fragmented.write_bytes(data[segments.init_at : end + sum(segments.sizes_bytes)])

    assert streams(fragmented) == streams(source)


def test_each_segment_is_one_fragment_and_begins_where_the_one_before_ends(cut):
    _, path, segments = cut
    data = path.read_bytes()

    starts = accumulate(segments.sizes_bytes, initial=segments.init_at + segments.init_bytes)
    for start, end in pairwise(starts):
        moof_bytes, moof, *_ = struct.unpack_from(">I4s", data, start)
        mdat_bytes, mdat = struct.unpack_from(">I4s", data, start + moof_bytes)
        assert (moof, mdat, start + moof_bytes + mdat_bytes) == (b"moof", b"mdat", end)
    assert end == len(data)


def test_segments_last_two_seconds_and_all_of_them_as_long_as_the_video(cut):
    _, _, segments = cut

    assert segments.durations_s == (2.0, 2.0, 1.0)


def test_a_segment_lasts_from_keyframe_to_keyframe_as_shown_not_as_decoded(clip, tmp_path):
    source = clip(codec="libx265", seconds=4, options=("-g", "60", "-x265-params", "bframes=4:b-pyramid=1"))

    path, segments = finished(source, tmp_path)

    lines = probe_lines(path, "-select_streams", "v", "-show_entries", "packet=pts_time,flags")
    keyframes = [line for line in lines if "=K" in line]
    assert len(keyframes) == 2
    assert segments.durations_s == (2.0, 2.0)


def test_a_video_with_one_keyframe_is_one_segment(clip, tmp_path):
    _, segments = finished(clip(seconds=3, options=("-g", "999")), tmp_path)

    assert segments.durations_s == (3.0,)


def renditions(source: Path, folder: Path) -> list[tuple[Path, Segments]]:
    """The copy and two smaller ones."""
    media = probe(source, TOOLS)
    _, sprite = stills_in(folder, media)
    targets = [tools.Target(folder / str(width), width, width * 16 // 9) for width in (72, 90)]
    tools.run(tools.ladder_command(TOOLS, source, media, targets, sprite), timeout_s=30)
    files = [target.path.with_suffix(".mp4") for target in targets]
    cuts = [put_index_first(target.path, file) for target, file in zip(targets, files, strict=True)]
    return [finished(source, folder), *zip(files, cuts, strict=True)]


def heard_in(path: Path, segments: Segments) -> list[list[float]]:
    """When each packet of sound in each segment is heard, as a player of segments finds it."""
    data = path.read_bytes()
    at = segments.init_at + segments.init_bytes
    init, alone = data[segments.init_at : at], path.with_name("segment.mp4")
    heard = []
    for start, end in pairwise(accumulate(segments.sizes_bytes, initial=at)):
        alone.write_bytes(init + data[start:end])
        lines = probe_lines(alone, "-select_streams", "a", "-show_entries", "packet=pts_time")
        heard.append([float(line.partition("=")[2].partition("|")[0]) for line in lines])
    return heard


def test_renditions_are_cut_at_the_same_places(clip, tmp_path):
    made = renditions(clip(seconds=5, options=GOPS), tmp_path)

    assert {segments.durations_s for _, segments in made} == {(2.0, 2.0, 1.0)}


# Pictures of the copy are decoded when they are shown, those of the others up to four frames before.
def test_a_player_that_changes_to_another_rendition_goes_on_where_the_sound_ends(clip, tmp_path):
    made = renditions(clip(seconds=5, options=GOPS), tmp_path)

    first, *others = [heard_in(path, segments) for path, segments in made]

    assert all(other == first for other in others)
    assert [round(sound[0]) for sound in first] == [0, 2, 4]
    assert all(0.02 < after[0] - before[-1] < 0.022 for before, after in pairwise(first))


@pytest.mark.parametrize(
    ("sound", "picture_at", "sound_at", "heard"),
    [
        ("sine=duration=1.5", 0, 0, (0, 1.5)),
        ("sine=duration=4.5", 0, 0, (0, 4.5)),
        ("sine=duration=3", 0, 1.2, (1.2, 4.2)),
        ("sine=duration=3", 0.7, 0, (0, 3)),
        ("anullsrc=duration=3", 0, 0, (0, 3)),
    ],
    ids=["shorter", "longer", "later", "earlier", "of packets that are all alike"],
)
def test_sound_that_goes_its_own_way_is_kept_whole_and_in_time(tmp_path, sound, picture_at, sound_at, heard):
    picture = f"testsrc2=size=144x256:rate=30:duration=3,setparams={BT709}"
    source = tmp_path / "clip.mp4"
    ffmpeg(
        "-itsoffset", str(picture_at), "-f", "lavfi", "-i", picture,
        "-itsoffset", str(sound_at), "-f", "lavfi", "-i", f"{sound},aformat=sample_rates=48000",
        "-c:v", "libx264", "-preset", "ultrafast", *GOPS, "-c:a", "aac", "-ac", "2", str(source),
    )  # fmt: skip

    (path, segments), *others = renditions(source, tmp_path)

    assert streams(path) == streams(source)
    when = heard_in(path, segments)
    assert all(heard_in(*other) == when for other in others)
    assert (min(when[0]), max(max(times, default=0) for times in when)) == pytest.approx(heard, abs=0.05)
    init = path.read_bytes()[segments.init_at :][: segments.init_bytes]
    assert {track.late for track in movie.tracks(movie.find(init, b"moov")).values()} == {0}


@pytest.mark.parametrize(
    ("wanted", "codecs"),
    [
        ({"options": ("-preset", "veryfast", "-level", "4.0")}, "avc1.640028,mp4a.40.2"),
        ({"options": ("-profile:v", "baseline", "-level", "3.2")}, "avc1.42c020,mp4a.40.2"),
        ({"options": ("-level", "4.0"), "sound": False}, "avc1.42c028"),
        ({"codec": "libx265"}, "hvc1.1.6.L93.90,mp4a.40.2"),
    ],
)
def test_what_a_player_must_decode_is_said_as_rfc_6381_has_it(clip, tmp_path, wanted, codecs):
    _, segments = finished(clip(**wanted), tmp_path)

    assert segments.codecs == codecs


def test_it_begins_to_play_before_all_of_it_is_there(cut):
    _, path, _ = cut
    data = path.read_bytes()

    assert data.index(b"moov") < data.index(b"mdat")


def test_what_is_no_hybrid_is_no_fault_of_the_file(clip, tmp_path):
    with pytest.raises(ToolFailed, match="no fragments"):
        put_index_first(clip(), tmp_path / "out.mp4")


def test_the_index_of_fragments_costs_little(cut):
    source, path, _ = cut

    assert path.stat().st_size < source.stat().st_size * 1.02
