"""Over a slow link, what we publish shows its first picture as soon as a plain MP4 of the same streams does.

In Chromium, whose first picture waits for the sound of the same moment.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from dev.clips import make_clip, rewrap
from support.chromium import MISSING, chromium
from support.media_tools import TOOLS, stills_in
from support.slow_link import served_slowly
from videos import tools
from videos.checking.probe import probe
from videos.making import commands
from videos.mp4.fragments import put_index_first

pytestmark = [
    pytest.mark.playback,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]

BYTES_PER_S = 300_000
TRIES = 7
ONE_READ_S = 0.15  # Chromium reads 32 kB at a time: of a small file, one more is a large share
GRAIN = "noise=alls=24:allf=t"  # as many bytes as footage has
PAGE = '<!doctype html><title>One video</title><link rel="icon" href="data:,">'
FIRST_PICTURE = """
const [url, done] = arguments;
const video = document.createElement("video");
const begin = performance.now();
video.muted = true;
video.requestVideoFrameCallback(() => {
  const took = performance.now() - begin;
  video.removeAttribute("src");
  video.load();  // lets go of the link
  done(took / 1000);
});
video.onerror = () => done(video.error.message);
document.body.replaceChildren(video);
video.src = url;
video.play();
"""
# By the usual settings of x264 and x265, the next keyframe is 250 pictures away.
CLIPS = {
    "a keyframe every two seconds": {"options": ("-preset", "veryfast", "-g", "60")},
    "one keyframe": {"options": ("-preset", "veryfast", "-g", "250")},
    "without B-frames": {"options": ("-g", "250", "-bf", "0")},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "page.html").write_text(PAGE)
    return folder


@pytest.fixture(scope="module")
def first_picture_s(folder: Path) -> Iterator[Callable[[Path], float]]:
    """How long it takes to the first picture of a file in the folder."""
    with served_slowly(folder, BYTES_PER_S) as url, chromium() as browser:

        def first_picture_s(path: Path) -> float:
            browser.get(f"{url}/page.html")
            took_s = browser.execute_async_script(FIRST_PICTURE, f"{url}/{path.name}")
            assert isinstance(took_s, float), took_s
            return took_s

        yield first_picture_s


@pytest.mark.parametrize("kind", CLIPS)
def test_the_first_picture_comes_as_soon_as_in_a_plain_mp4(folder, first_picture_s, kind):
    source = make_clip(folder / "source.mp4", seconds=8, video_filter=GRAIN, **CLIPS[kind])
    for published in renditions(source, folder):
        plain = rewrap(published, folder / f"plain-{published.name}", "-movflags", "+faststart")
        tries = [(first_picture_s(published), first_picture_s(plain)) for _ in range(TRIES)]
        ours_s, plain_s = map(median, zip(*tries, strict=True))

        assert ours_s <= max(1.2 * plain_s, plain_s + ONE_READ_S), tries


def renditions(source: Path, folder: Path) -> list[Path]:
    """The copy and the smallest encode."""
    media = probe(source, TOOLS)
    _, sprite = stills_in(folder, media)
    encode = commands.Target(folder / "encode", 360, 640)
    copy = folder / "copy"
    tools.run(commands.copy_command(TOOLS, source, media, copy), timeout_s=60)
    tools.run(commands.ladder_command(TOOLS, source, media, [encode], sprite), timeout_s=120)
    for written in (copy, encode.path):
        put_index_first(written, written.with_suffix(".mp4"))
    return [copy.with_suffix(".mp4"), encode.path.with_suffix(".mp4")]
