"""What is shown before and beside the video, and how loud it is: on real files."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import blurhash
import pytest

from clips import ffmpeg, make_clip
from test_steps import checked
from test_tools import TOOLS
from test_transcode import fetched
from videos import stills, tools
from videos.probe import probe, with_loudness
from videos.tools import Sprite, Target
from videos.transcode import transcode

# Black, but for the third second, which is red, and the fourth, which is blue.
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


def asked(local_service, clip: Path, seconds: float):
    """A checked video whose poster was asked to be of this moment."""
    return local_service.videos.update(replace(checked(local_service, clip), poster_time_s=seconds))


@pytest.mark.parametrize(("seconds", "colour"), [(0, "black"), (2.5, "red"), (3.2, "blue"), (59, "blue")])
def test_the_poster_shows_the_moment_that_was_asked_for(local_service, colours, tmp_path, seconds, colour):
    video = transcode(asked(local_service, colours, seconds).id, local_service)

    assert colour_at(fetched(local_service, video, "poster", tmp_path), 300, 600) == colour


def test_the_poster_of_what_must_be_encoded_shows_that_moment_too(local_service, clip, tmp_path):
    ten_bit = clip(seconds=3, pixels="yuv420p10le", video_filter=COLOURS)

    video = transcode(asked(local_service, ten_bit, 2.5).id, local_service)

    assert colour_at(fetched(local_service, video, "poster", tmp_path), 300, 600) == "red"


def test_the_placeholder_looks_like_the_poster(local_service, colours):
    video = transcode(asked(local_service, colours, 2.5).id, local_service)

    [[(red, green, blue)]] = blurhash.decode(video.blurhash, 1, 1)
    assert len(video.blurhash) < 40
    assert red > 180
    assert max(green, blue) < 60


def test_a_sprite_sheet_shows_the_middle_of_every_two_seconds(colours, tmp_path):
    sheet = stills.sheet(4.0)
    sprite = Sprite(Target(tmp_path / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    media = probe(colours, TOOLS)
    tools.run(
        tools.ladder_command(TOOLS, colours, media, [Target(tmp_path / "small", 90, 160)], sprite),
        timeout_s=30,
    )

    assert (sheet.tiles, sheet.columns) == (2, 2)
    assert [colour_at(sprite.target.path, x, 80) for x in (40, 130)] == ["black", "red"]


@pytest.mark.parametrize(
    ("seconds", "tiles", "size"),
    [(0.1, 1, (90, 160)), (2.0, 1, (90, 160)), (2.1, 2, (180, 160)), (60.1, 31, (720, 640))],
)
def test_a_sheet_has_a_still_for_every_two_seconds_begun(seconds, tiles, size):
    sheet = stills.sheet(seconds)

    assert (sheet.tiles, stills.sheet_size_px(sheet)) == (tiles, size)


@pytest.mark.parametrize("seconds", [0.2, 1, 3.9])
def test_even_a_short_video_has_a_whole_sheet(local_service, clip, tmp_path, seconds):
    video = transcode(checked(local_service, clip(seconds=seconds)).id, local_service)

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
    assert max(raw.read_bytes()[-90:]) > 40  # the last tile is no black one


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


def test_sound_too_short_to_be_measured_has_no_loudness(clip):
    path = clip(seconds=0.2)

    assert with_loudness(probe(path, TOOLS).audio, path, TOOLS).loudness_lufs in (None, -70.0)


def test_the_loudness_is_published_with_the_video(local_service, clip):
    video = transcode(checked(local_service, clip(seconds=2)).id, local_service)

    assert -30 < video.media.audio.loudness_lufs < -10


def test_the_time_left_is_told_while_it_is_encoded_and_falls(local_service, clip, monkeypatch):
    told = []
    update = local_service.videos.update
    monkeypatch.setattr("videos.transcode.PROGRESS_STEP_S", 0.1)
    monkeypatch.setattr(
        local_service.videos,
        "update",
        lambda video, counts: told.append((video.progress, video.time_left_s)) or update(video, counts),
    )

    transcode(checked(local_service, clip(seconds=4)).id, local_service)

    estimated = [(progress, left_s) for progress, left_s in told if left_s is not None]
    assert len(estimated) > 1
    assert estimated[0][1] > estimated[-1][1]
    assert told[-1] == (100, None)
    assert all(before <= after for (before, _), (after, _) in pairwise(told))
