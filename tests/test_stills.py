"""Poster, placeholder, sprite sheet and loudness, on real files."""

from itertools import pairwise
from pathlib import Path

import blurhash
import pytest

from dev.clips import ffmpeg, make_clip
from support.media_tools import TOOLS
from support.pipeline import checked, fetched, ticketed
from videos import tools
from videos.checking.probe import probe
from videos.making import commands, stills
from videos.making.commands import Sprite, Target
from videos.making.loudness import with_loudness
from videos.steps.check_upload import check_upload
from videos.steps.transcode_video import transcode_video

pytestmark = pytest.mark.thorough

# Black, except for the third second (red) and the fourth (blue).
COLOURS = (
    "drawbox=t=fill:color=black,drawbox=t=fill:color=red:enable='between(t,2,2.99)',"
    "drawbox=t=fill:color=blue:enable='gte(t,3)'"
)


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("colours") / "colours.mp4", seconds=4, video_filter=COLOURS)


def colour_at(picture: Path, x: int, y: int) -> str:
    """The name of the colour of a pixel and those around it."""
    raw = picture.with_suffix(".raw")
    ffmpeg("-i", str(picture), "-vf", f"crop=8:8:{x}:{y},scale=1:1,format=rgb24", "-f", "rawvideo", str(raw))
    red, green, blue = raw.read_bytes()
    assert green < 60
    return "red" if red > 180 else "blue" if blue > 180 else "black" if red + blue < 60 else "a mixture"


def with_poster_time(local_service, clip: Path, seconds: float):
    """A checked video with this poster time."""
    video = ticketed(local_service, poster_time_s=seconds)
    local_service.storage.save(clip, video.inbox_key, content_type="video/mp4")
    return check_upload(video.id, local_service)


@pytest.mark.parametrize(("seconds", "colour"), [(0, "black"), (2.5, "red"), (3.2, "blue"), (59, "blue")])
def test_the_poster_shows_the_requested_time(local_service, colours, tmp_path, seconds, colour):
    video = transcode_video(with_poster_time(local_service, colours, seconds).id, local_service)

    assert colour_at(fetched(local_service, video, "poster", tmp_path), 300, 600) == colour


def test_a_poster_time_of_almost_nothing_is_the_first_frame(local_service, colours, tmp_path):
    video = transcode_video(with_poster_time(local_service, colours, 0.00005).id, local_service)

    assert video.playable
    assert colour_at(fetched(local_service, video, "poster", tmp_path), 300, 600) == "black"


def test_the_poster_of_an_encoded_video_shows_the_requested_time_too(local_service, clip, tmp_path):
    ten_bit = clip(seconds=3, pixels="yuv420p10le", video_filter=COLOURS)

    video = transcode_video(with_poster_time(local_service, ten_bit, 2.5).id, local_service)

    assert colour_at(fetched(local_service, video, "poster", tmp_path), 300, 600) == "red"


def test_the_placeholder_has_the_colour_of_the_poster(local_service, colours):
    video = transcode_video(with_poster_time(local_service, colours, 2.5).id, local_service)

    [[(red, green, blue)]] = blurhash.decode(video.blurhash, 1, 1)
    assert len(video.blurhash) < 40
    assert red > 180
    assert max(green, blue) < 60


def test_a_sprite_sheet_shows_the_middle_of_every_two_seconds(colours, tmp_path):
    sheet = stills.sheet(4.0)
    sprite = Sprite(Target(tmp_path / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    media = probe(colours, TOOLS)
    tools.run(
        commands.ladder_command(TOOLS, colours, media, [Target(tmp_path / "small", 90, 160)], sprite),
        timeout_s=30,
    )

    assert (sheet.tiles, sheet.columns) == (2, 2)
    assert [colour_at(sprite.target.path, x, 80) for x in (40, 130)] == ["black", "red"]


@pytest.mark.parametrize(
    ("seconds", "tiles", "size"),
    [(0.1, 1, (90, 160)), (2.0, 1, (90, 160)), (2.1, 2, (180, 160)), (60.1, 31, (720, 640))],
)
def test_a_sheet_has_one_still_per_started_two_seconds(seconds, tiles, size):
    sheet = stills.sheet(seconds)

    assert (sheet.tiles, stills.sheet_size_px(sheet)) == (tiles, size)


@pytest.mark.parametrize("seconds", [0.2, 1, 3.9])
def test_a_short_video_has_a_complete_sheet(local_service, clip, tmp_path, seconds):
    video = transcode_video(checked(local_service, clip(seconds=seconds)).id, local_service)

    sprite = video.output("sprite")
    raw = tmp_path / "sprite.raw"
    ffmpeg(
        "-i",
        str(fetched(local_service, video, "sprite", tmp_path)),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        str(raw),
    )
    assert raw.stat().st_size == sprite.width_px * sprite.height_px
    assert max(raw.read_bytes()[-90:]) > 40  # the last tile is not black


@pytest.mark.parametrize(
    ("sound", "loudness_lufs", "true_peak_dbtp"),
    [
        # EBU Tech 3341, case 1: a stereo 1 kHz sine of -23 dBFS is -23 LUFS.
        ("aevalsrc=0.0708*sin(2*PI*1000*t)|0.0708*sin(2*PI*1000*t):s=48000", -23.0, -23.0),
        ("aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t):s=48000", -6.0, -6.0),
        ("anullsrc=r=48000:cl=stereo", -70.0, None),
    ],
)
def test_loudness_is_measured(clip, tmp_path, sound, loudness_lufs, true_peak_dbtp):
    path = tmp_path / "loud.mov"
    ffmpeg(
        "-i", str(clip(seconds=5)), "-f", "lavfi", "-i", sound, "-map", "0:v", "-map", "1:a",
        "-c:v", "copy", "-c:a", "pcm_s16le", "-shortest", str(path),
    )  # fmt: skip

    audio = with_loudness(probe(path, TOOLS).audio, path, TOOLS)

    assert audio.loudness_lufs == pytest.approx(loudness_lufs, abs=0.2)
    assert audio.true_peak_dbtp == (true_peak_dbtp and pytest.approx(true_peak_dbtp, abs=0.2))


def test_audio_too_short_to_measure_has_no_loudness(clip):
    path = clip(seconds=0.2)

    assert with_loudness(probe(path, TOOLS).audio, path, TOOLS).loudness_lufs in (None, -70.0)


def test_the_loudness_is_published_with_the_video(local_service, clip):
    video = transcode_video(checked(local_service, clip(seconds=2)).id, local_service)

    assert -30 < video.media.audio.loudness_lufs < -10


def test_the_time_left_is_reported_while_encoding_and_decreases(local_service, clip, monkeypatch):
    reported = []
    update = local_service.videos.update
    monkeypatch.setattr("videos.steps.transcode_video.PROGRESS_STEP_S", 0.1)
    monkeypatch.setattr(
        local_service.videos,
        "update",
        lambda video: reported.append((video.progress, video.time_left_s)) or update(video),
    )

    transcode_video(checked(local_service, clip(seconds=4)).id, local_service)

    estimated = [(progress, left_s) for progress, left_s in reported if left_s is not None]
    assert len(estimated) > 1
    assert estimated[0][1] > estimated[-1][1]
    assert reported[-1] == (100, None)
    assert all(before <= after for (before, _), (after, _) in pairwise(reported))
