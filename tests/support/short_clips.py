"""Half a second of video, made once: a good clip, a longer one, and one to reject."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dev.clips import make_clip


@cache
def folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


@cache
def good() -> Path:
    return make_clip(Path(folder().name) / "good.mp4", seconds=0.5, sound=False)


@cache
def longer() -> Path:
    return make_clip(Path(folder().name) / "longer.mp4", seconds=0.6, sound=False)


@cache
def bad() -> Path:
    return make_clip(Path(folder().name) / "bad.mp4", seconds=0.5, size="640x480", sound=False)
