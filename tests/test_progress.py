"""How far an encode is: what ffmpeg reports of it, and what of that is written down."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from dev.clips import make_clip
from support import faults
from support.faults import Recorded
from support.media_tools import TOOLS
from support.pipeline import checked
from videos import tools
from videos.checking.probe import probe
from videos.making import stills
from videos.making.commands import Sprite, Target, ladder_command
from videos.model import State
from videos.steps.transcode_video import transcode_video

FRAMES = 30  # of ``clip()``


def blocks(lines: list[str]) -> list[dict[str, str]]:
    """ffmpeg's reports, each of which ends with a line ``progress=``."""
    found: list[dict[str, str]] = [{}]
    for line in lines:
        name, _, value = line.partition("=")
        found[-1][name] = value
        if name == "progress":
            found.append({})
    assert found.pop() == {}, "the last report has no end"
    return found


def test_the_encode_that_tests_play_reports_what_ffmpeg_does(tmp_path):
    source = make_clip(tmp_path / "source", seconds=2, sound=False, options=("-f", "mp4"))
    sheet = stills.sheet(2.0)
    sprite = Sprite(Target(tmp_path / "sprite.jpg", *stills.sheet_size_px(sheet)), sheet)
    command = ladder_command(
        TOOLS, source, probe(source, TOOLS), [Target(tmp_path / "360p", 360, 640)], sprite
    )
    printed, played = [], []

    often = [command[0], "-stats_period", "0.02", *command[1:]]
    tools.run(often, timeout_s=60, memory_bytes=4 * tools.GIB, on_line=printed.append)
    Recorded().run(command, timeout_s=60, on_line=played.append)

    real, fake = blocks(printed), blocks(played)
    assert len(real) > 2
    assert {tuple(block) for block in fake} == {tuple(block) for block in real}
    for reports in (real, fake):
        frames = [int(report["frame"]) for report in reports]
        assert frames == sorted(frames)
        assert frames[-1] == 60
        assert [report["progress"] for report in reports] == ["continue"] * (len(reports) - 1) + ["end"]


@pytest.fixture
def encoded(local_service, clip, clock, monkeypatch):
    """``encoded(reports)``: when the video was written while ffmpeg reported so, and when it is due to be
    recovered then; in seconds of encoding.

    ``reports`` are (seconds since the last one, frame).
    """

    def encode(reports: list[tuple[float, int]]) -> list[tuple[float, float]]:
        began, written = [], []
        update = local_service.videos.update

        def written_down(video):
            if began and video.state is State.PROCESSING:
                times = (clock(), video.recover_at)
                written.append(tuple((at - began[0]) / timedelta(seconds=1) for at in times))
            return update(video)

        def run(command, *, on_line=None, **limits):
            if on_line:
                began.append(clock())
                for after_s, frame in reports:
                    clock.advance(seconds=after_s)
                    on_line(f"frame={frame}")
            return faults.RUN(command, **limits)

        monkeypatch.setattr(local_service.videos, "update", written_down)
        monkeypatch.setattr(tools, "run", run)
        service = replace(local_service, monotonic=lambda: clock().timestamp())
        assert transcode_video(checked(service, clip()).id, service).state is State.COMPLETED
        return written

    return encode


def test_a_video_whose_encode_does_not_advance_is_written_at_least_every_twenty_seconds(encoded):
    written = [at for at, _ in encoded([(5, 10)] * 24)]  # two minutes

    assert written[0] == 5
    assert written[-1] > 100
    assert all(10 <= after - before <= 20 for before, after in pairwise(written))


def test_a_video_whose_encode_advances_is_written_once_a_second_at_most(encoded):
    written = [at for at, _ in encoded([(0.25, frame) for frame in range(1, FRAMES + 1)])]

    assert 6 <= len(written) <= 8
    assert all(after - before >= 1 for before, after in pairwise(written))


def test_a_video_that_is_encoded_moves_in_the_index_every_half_minute_and_is_never_due(encoded):
    written = encoded([(5, 10)] * 24)  # two minutes

    assert all(120 <= due - at <= 150 for at, due in written)
    assert len(written) >= 8
    assert len({due for _, due in written}) <= 5


def test_a_video_that_is_encoded_within_half_a_minute_stays_where_it_is_in_the_index(encoded):
    written = encoded([(1, frame) for frame in range(1, 26)])

    assert len(written) > 10
    assert len({due for _, due in written}) == 1
