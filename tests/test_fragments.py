"""One file that plays as fast-start MP4 and as HLS: its order, and its segments."""

import struct
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from dev.clips import BT709, ffmpeg, probe_lines
from support.films import Film
from support.media_tools import TOOLS, sound_beside, stills_in
from videos import tools
from videos.checking.probe import probe
from videos.errors import ToolFailed
from videos.making import commands
from videos.model import Segments
from videos.mp4 import movie
from videos.mp4.boxes import boxes, find
from videos.mp4.fragments import put_index_first

pytestmark = pytest.mark.thorough

GOPS = ("-g", "30", "-keyint_min", "30", "-sc_threshold", "0")


def finished(source: Path, folder: Path) -> tuple[Path, Segments]:
    """A copy of ``source``, as it is published."""
    media = probe(source, TOOLS)
    sound_beside(source, media)
    tools.run(commands.copy_command(TOOLS, source, media, folder / "copy"), timeout_s=30)
    return folder / "copy.mp4", put_index_first(folder / "copy", folder / "copy.mp4").segments


def streams(path: Path) -> list[str]:
    """A hash of every decoded frame and every audio packet, with its time."""
    lines = ffmpeg("-i", str(path), "-map", "0", "-c:a", "copy", "-f", "framemd5", "-").splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def cut(clip, tmp_path_factory):
    """Five seconds with a keyframe every second: source, file, segments."""
    source = clip(seconds=5, size="720x1280", options=GOPS)
    return source, *finished(source, tmp_path_factory.mktemp("cut"))


def test_the_whole_file_decodes_like_the_source(cut):
    source, path, _ = cut

    assert streams(path) == streams(source)


def test_the_segments_alone_decode_like_the_source(cut, tmp_path):
    source, path, segments = cut
    data, end = path.read_bytes(), segments.init_at + segments.init_bytes
    fragmented = tmp_path / "fragmented.mp4"
    fragmented.write_bytes(data[segments.init_at : end + sum(segments.sizes_bytes)])

    assert streams(fragmented) == streams(source)


# More fragments make Firefox drop frames: in all segments but the first, until the next keyframe.
def test_each_segment_is_one_fragment_and_segments_are_contiguous(cut):
    _, path, segments = cut
    data = path.read_bytes()

    starts = accumulate(segments.sizes_bytes, initial=segments.init_at + segments.init_bytes)
    for start, end in pairwise(starts):
        moof_bytes, moof, *_ = struct.unpack_from(">I4s", data, start)
        mdat_bytes, mdat = struct.unpack_from(">I4s", data, start + moof_bytes)
        assert (moof, mdat, start + moof_bytes + mdat_bytes) == (b"moof", b"mdat", end)
    assert end == len(data)


def test_each_segment_begins_with_its_picture_where_shaka_player_reads_its_start(cut):
    _, path, segments = cut
    data = path.read_bytes()
    init = data[segments.init_at :][: segments.init_bytes]
    picture = movie.tracks(find(init, b"moov"))[movie.PICTURE]

    starts = accumulate(segments.sizes_bytes[:-1], initial=segments.init_at + segments.init_bytes)
    trafs = [find(data[start:], b"moof", b"traf") for start in starts]

    assert {find(traf, b"tfhd")[4:8] for traf in trafs} == {picture.id}
    times = [int.from_bytes(find(traf, b"tfdt")[4:]) for traf in trafs]
    assert [picture.shown_s(time) for time in times] == pytest.approx([0, 2, 4], abs=0.01)


def renditions(source: Path, folder: Path) -> list[tuple[Path, Segments]]:
    """The copy and two smaller ones."""
    media = probe(source, TOOLS)
    _, sprite = stills_in(folder, media)
    targets = [commands.Target(folder / str(width), width, width * 16 // 9) for width in (72, 90)]
    sound_beside(source, media)
    tools.run(commands.ladder_command(TOOLS, source, media, targets, sprite), timeout_s=30)
    files = [target.path.with_suffix(".mp4") for target in targets]
    cuts = [put_index_first(target.path, file).segments for target, file in zip(targets, files, strict=True)]
    return [finished(source, folder), *zip(files, cuts, strict=True)]


def alone_segments(path: Path, segments: Segments) -> Iterator[Path]:
    """Each segment behind its init section. The file is rewritten for the next."""
    data, alone = path.read_bytes(), path.with_name("segment.mp4")
    at = segments.init_at + segments.init_bytes
    for start, end in pairwise(accumulate(segments.sizes_bytes, initial=at)):
        alone.write_bytes(data[segments.init_at : at] + data[start:end])
        yield alone


def audio_times(path: Path, segments: Segments) -> list[list[float]]:
    """The presentation times of the audio packets in each segment, as an HLS player reads them."""
    heard = []
    for alone in alone_segments(path, segments):
        lines = probe_lines(alone, "-select_streams", "a", "-show_entries", "packet=pts_time")
        heard.append([float(line.partition("=")[2].partition("|")[0]) for line in lines])
    return heard


def first_picture_flags(path: Path, segments: Segments) -> list[str]:
    """ "K" for each segment whose first picture is a keyframe, as an HLS player reads it."""
    return [
        probe_lines(alone, "-select_streams", "v", "-show_entries", "packet=flags")[0][len("flags=")]
        for alone in alone_segments(path, segments)
    ]


def test_segments_align_across_renditions(clip, tmp_path):
    made = renditions(clip(seconds=5, options=GOPS), tmp_path)

    assert {segments.durations_s for _, segments in made} == {(2.0, 2.0, 1.0)}


# Frames of the copy are decoded when presented, those of the other renditions up to four frames earlier.
def test_switching_renditions_leaves_no_gap_in_the_audio(clip, tmp_path):
    made = renditions(clip(seconds=5, options=GOPS), tmp_path)

    first, *others = [audio_times(path, segments) for path, segments in made]

    assert all(other == first for other in others)
    assert [round(sound[0]) for sound in first] == [0, 2, 4]
    assert all(0.02 < after[0] - before[-1] < 0.022 for before, after in pairwise(first))


@pytest.mark.parametrize(
    ("sound", "picture_at", "sound_at", "heard"),
    [
        ("sine=duration=2.6", 0, 0, (0, 2.6)),
        ("sine=duration=4.5", 0, 0, (0, 4.5)),
        ("sine=duration=3", 0, 0.4, (0.4, 3.4)),
        ("sine=duration=3", 0.4, 0, (0, 3)),
        ("anullsrc=duration=3", 0, 0, (0, 3)),
    ],
    ids=["shorter", "longer", "later", "earlier", "of identical packets"],
)
def test_audio_of_another_length_or_start_is_kept_whole_and_in_sync(
    tmp_path, sound, picture_at, sound_at, heard
):
    picture = f"testsrc2=size=144x256:rate=30:duration=3,setparams={BT709}"
    source = tmp_path / "clip.mp4"
    ffmpeg(
        "-itsoffset", str(picture_at), "-f", "lavfi", "-i", picture,
        "-itsoffset", str(sound_at), "-f", "lavfi", "-i", f"{sound},aformat=sample_rates=48000",
        "-c:v", "libx264", "-preset", "ultrafast", *GOPS, "-c:a", "aac", "-ac", "2", str(source),
    )  # fmt: skip

    (path, segments), *others = renditions(source, tmp_path)

    assert streams(path) == streams(source)
    when = audio_times(path, segments)
    assert all(audio_times(*other) == when for other in others)
    assert (min(when[0]), max(max(times, default=0) for times in when)) == pytest.approx(heard, abs=0.05)
    init = path.read_bytes()[segments.init_at :][: segments.init_bytes]
    assert {track.late for track in movie.tracks(find(init, b"moov")).values()} == {0}


@pytest.mark.parametrize(
    ("wanted", "codecs"),
    [
        ({"options": ("-preset", "veryfast", "-level", "4.0")}, "avc1.640028,mp4a.40.2"),
        ({"options": ("-profile:v", "baseline", "-level", "3.2")}, "avc1.42c020,mp4a.40.2"),
        ({"options": ("-level", "4.0"), "sound": False}, "avc1.42c028"),
        ({"codec": "libx265"}, "hvc1.1.6.L93.90,mp4a.40.2"),
    ],
)
def test_the_codecs_string_follows_rfc_6381(clip, tmp_path, wanted, codecs):
    _, segments = finished(clip(**wanted), tmp_path)

    assert segments.codecs == codecs


MANY_B_FRAMES = ("-preset", "medium", "-bf", "8", "-b_strategy", "0", "-x264-params", "b-pyramid=normal")
HELD = "setpts=PTS+gt(N\\,44)*1.5/TB"  # the 45th picture is shown for a second and a half longer


@pytest.mark.parametrize(
    "wanted",
    [
        {"options": GOPS},
        {"options": ("-g", "250", *MANY_B_FRAMES)},
        {"options": ("-g", "250", "-bf", "0")},
        {"codec": "libx265", "options": ("-g", "250", "-x265-params", "bframes=4:b-pyramid=1")},
        {"video_filter": HELD, "options": ("-g", "250", "-fps_mode", "vfr")},
        {"rate": "30000/1001", "options": ("-g", "250", "-ar", "44100", "-ac", "1")},
    ],
    ids=["short GOPs", "one GOP", "without B-frames", "HEVC", "a picture held", "29.97 and 44100"],
)
def test_sound_and_picture_of_one_moment_lie_close_together(clip, tmp_path, wanted):
    source = clip(seconds=6, **wanted)

    for path, segments in renditions(source, tmp_path):
        assert Film(path).apart_s <= 0.5
        assert first_picture_flags(path, segments) == ["K"] * len(segments.sizes_bytes)


def test_players_that_do_not_know_fragments_take_the_whole_file(cut):
    _, path, segments = cut
    data = path.read_bytes()

    assert (data[4:12], data[segments.init_at :][4:12]) == (b"ftypisom", b"ftypiso5")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_track_lasts_as_long_as_its_samples(clip, tmp_path, codec):
    source = clip(seconds=3, codec=codec, options=("-preset", "medium", "-g", "60", "-bf", "3"))

    for path, _ in renditions(source, tmp_path):
        moov = find(path.read_bytes(), b"moov")
        [picture] = [body for kind, body in boxes(moov) if kind == b"trak" and movie.handler(body) == b"vide"]
        rate, duration = struct.unpack_from(">II", find(picture, b"mdia", b"mdhd"), 12)
        times = int.from_bytes(find(picture, b"tkhd")[20:24]), int.from_bytes(find(moov, b"mvhd")[16:20])
        assert (duration / rate, *times) == (3, 3000, pytest.approx(3000, abs=30))


def test_the_index_comes_first(cut):
    _, path, _ = cut
    data = path.read_bytes()

    assert data.index(b"moov") < data.index(b"mdat")


def test_an_mp4_without_fragments_is_a_tool_failure(clip, tmp_path):
    with pytest.raises(ToolFailed, match="no fragments"):
        put_index_first(clip(), tmp_path / "out.mp4")


def test_the_fragment_index_adds_at_most_two_percent(cut):
    source, path, _ = cut

    assert path.stat().st_size < source.stat().st_size * 1.02
