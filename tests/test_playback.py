"""What we publish plays for real, in Chromium: the MP4, and HLS by hls.js and by the browser itself.

As on AWS, the page, the API and storage have an origin each, and a player goes through all of them:

    page     http://localhost:<its port>     the only one that ALLOWED_ORIGINS names
    API      http://127.0.0.1:<port>
    storage  http://localhost:<port>         where the API sends a player
"""

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.ui import WebDriverWait

from dev.client import App
from dev.clips import make_clip, rewrap
from dev.server import Server
from support.cases import CASES, Case
from support.chromium import LONGEST_WAIT_S, MISSING, chromium

PAGE = Path(__file__).parent / "playback"
PLAYER = [] if (PAGE / "node_modules").exists() else ["hls.js (make test-playback installs it)"]
pytestmark = [
    pytest.mark.playback,
    pytest.mark.skipif(bool(MISSING + PLAYER), reason=f"needs {', '.join(MISSING + PLAYER)}"),
]

LADDER = [(720, 1280), (540, 960), (360, 640)]
SECONDS = 4

RED_ABOVE_BLUE = "drawbox=t=fill:color=red,drawbox=t=fill:color=blue:y=ih/2:h=ih/2"
RED_RIGHT_OF_BLUE = "drawbox=t=fill:color=blue,drawbox=t=fill:color=red:x=iw/2:w=iw/2"


class Page:
    """tests/playback/index.html in a browser, showing one video."""

    def __init__(self, browser: webdriver.Chrome, url: str, **asked: str) -> None:
        self._browser = browser
        browser.get(f"{url}/index.html?{urlencode(asked)}")

    def get(self, expression: str) -> Any:
        """The value of a JavaScript expression, once it is there if it is promised."""
        return self._browser.execute_script(f"return {expression}")

    def do(self, statements: str, *arguments: Any) -> None:
        self._browser.execute_script(statements, *arguments)

    def until(self, condition: str) -> None:
        """Wait for a JavaScript expression to be true."""
        try:
            WebDriverWait(self._browser, LONGEST_WAIT_S, 0.05).until(lambda _: self.get(condition))
        except TimeoutException:
            state = "[video.readyState, video.currentTime, video.duration, hls.currentLevel, frame, errors]"
            raise AssertionError(f"never: {condition}; now: {self.get(state)}") from None

    def until_it_moves(self) -> None:
        """Wait for half a second of new pictures."""
        self.until(f"frame.count > {self.get('frame.count') + 15}")

    def until_it_shows(self, width: int, height: int) -> None:
        self.until(f"frame.width === {width} && frame.height === {height}")
        assert self.get("[video.videoWidth, video.videoHeight]") == [width, height]


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the page is served."""
    handler = partial(QuietHandler, directory=str(PAGE))
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(origin, tmp_path_factory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ALLOWED_ORIGINS", origin)
        with Server(tmp_path_factory.mktemp("server")) as server:
            yield server


@pytest.fixture(scope="module")
def videos(server, tmp_path_factory) -> dict[str, str]:
    """The address at the API of each kind of video, completed."""
    folder = tmp_path_factory.mktemp("playback")
    clips = {
        "h264": make_clip(folder / "h264.mp4", seconds=SECONDS, video_filter=RED_ABOVE_BLUE),
        "hevc": make_clip(folder / "hevc.mp4", seconds=SECONDS, codec="libx265", video_filter=RED_ABOVE_BLUE),
        "turned": rewrap(
            make_clip(folder / "wide.mp4", seconds=SECONDS, size="1280x720", video_filter=RED_RIGHT_OF_BLUE),
            folder / "turned.mp4",
            before=("-display_rotation", "90"),
        ),
    }
    app = App(server.url)
    ids = {kind: app.upload(clip)["id"] for kind, clip in clips.items()}
    for video_id in ids.values():
        assert app.follow(video_id)["state"] == "completed"
    return {kind: address(server, video_id) for kind, video_id in ids.items()}


def address(server: Server, video_id: str) -> str:
    return f"http://127.0.0.1:{server.port}/videos/{video_id}"


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, origin, videos) -> Callable[..., Page]:
    """``page("h264", how="hls")``: by hls.js, by the browser's own HLS (native), or the MP4 (file)."""
    return lambda kind, **how: Page(browser, origin, video=videos[kind], **how)


# ── It plays ─────────────────────────────────────────────────────────────────────

KINDS = ("h264", "hevc", "turned")


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_plays_upright_from_the_first_picture_to_the_last(page, kind):
    shown = page(kind, how="file")

    shown.until_it_moves()
    shown.until_it_shows(720, 1280)
    assert is_red_above_blue(shown.get("colours(video)"))
    shown.until("video.ended")

    assert shown.get("video.getVideoPlaybackQuality().totalVideoFrames") == SECONDS * 30
    assert shown.get("video.duration") == pytest.approx(SECONDS, abs=0.1)
    assert shown.get("errors") == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_stream_plays_upright_to_its_end(page, kind):
    shown = page(kind, how="hls")

    shown.until_it_moves()
    assert is_red_above_blue(shown.get("colours(video)"))
    shown.do(f"hls.currentLevel = {level_of(shown, 720)}")
    shown.until_it_shows(720, 1280)
    shown.until("video.ended")

    assert shown.get("video.duration") == pytest.approx(SECONDS, abs=0.1)
    assert shown.get("errors") == []


def test_every_rendition_can_be_chosen_while_it_plays(page):
    shown = page("h264", how="hls")
    shown.do("video.loop = true")
    shown.until_it_moves()

    for width, height in [*LADDER, LADDER[0]]:
        shown.do(f"hls.currentLevel = {level_of(shown, width)}")
        shown.until_it_shows(width, height)
        shown.until_it_moves()

    assert shown.get("errors") == []


@pytest.mark.parametrize(("first", "then"), [(720, 360), (360, 720)])
def test_a_player_that_changes_the_rendition_leaves_no_hole(page, first, then):
    shown = page("h264")
    shown.do(
        """
        const [first, then] = arguments;
        const level = (wanted) => hls.levels.findIndex(({width}) => width === wanted);
        window.loaded = [];
        let asked = 0;
        hls.on(Hls.Events.FRAG_LOADING, () => { asked += 1 });
        hls.on(Hls.Events.FRAG_BUFFERED, (_, {frag}) => loaded.push(hls.levels[frag.level].width));
        // In place of the measured network's choice. Telling hls.js afterwards is a race: it asks for
        // the next fragment the moment that one is buffered.
        Object.defineProperty(hls, "nextAutoLevel", {get: () => level(asked ? then : first), set() {}});
        hls.on(Hls.Events.MANIFEST_PARSED, () => { hls.startLevel = level(first) });
        play("hls");
        """,
        first,
        then,
    )

    shown.until("video.ended")

    assert shown.get("loaded") == [first, then]
    assert shown.get("video.buffered.length") == 1
    assert shown.get("errors") == []


def level_of(shown: Page, width: int) -> int:
    return shown.get(f"hls.levels.findIndex((level) => level.width === {width})")


def test_a_browser_that_knows_hls_needs_no_player(page):
    shown = page("h264", how="native")
    if not shown.get("video.canPlayType('application/vnd.apple.mpegurl')"):
        pytest.skip("this browser does not")

    shown.until_it_moves()
    shown.until("video.ended")

    assert (shown.get("video.videoWidth"), shown.get("video.videoHeight")) in LADDER
    assert shown.get("video.buffered.length") == 1
    assert shown.get("errors") == []


@pytest.mark.parametrize("how", ["file", "hls"])
def test_a_viewer_may_skip_to_the_end_and_back(page, how):
    shown = page("h264", how=how)
    shown.until_it_moves()

    shown.do(f"video.currentTime = {SECONDS - 0.5}")
    shown.until("video.ended")
    shown.do("video.currentTime = 1; video.play()")

    shown.until("video.currentTime > 1.2 && !video.ended")
    shown.until_it_moves()
    assert shown.get("errors") == []


# ── What is easily judged wrong ──────────────────────────────────────────────────

# The samples, and sound that ends before the picture: hls.js waits for ever for sound in every segment.
PLAYED = [
    case
    for case in CASES.values()
    if case.right.completed and (case.sample or case.name in ("audio_shorter", "audio_a_little_shorter"))
]
SPEED = 8


@pytest.fixture(scope="module")
def case_videos(server, tmp_path_factory) -> Callable[[Case], tuple[str, str]]:
    """The address of a case, and the state in which it ended; each is made once."""
    folder, app, ended = tmp_path_factory.mktemp("cases"), App(server.url), {}

    def video(case: Case) -> tuple[str, str]:
        if case.name not in ended:
            video_id = app.upload(case.make(folder))["id"]
            try:
                state = app.follow(video_id)["state"]
            except TimeoutError as late:
                state = str(late)
            ended[case.name] = address(server, video_id), state
        return ended[case.name]

    return video


@pytest.mark.parametrize("how", ["file", "hls", "native"])
@pytest.mark.parametrize("case", PLAYED, ids=lambda case: case.name)
def test_a_case_plays_to_its_end(browser, origin, case_videos, case, how):
    video, state = case_videos(case)
    if state == "rejected" and case.right.or_rejected_by:
        pytest.skip("it is rejected, which is right too")
    assert state == "completed"

    shown = Page(browser, origin, video=video, how=how)
    if how == "native" and not shown.get("video.canPlayType('application/vnd.apple.mpegurl')"):
        pytest.skip("this browser does not")
    shown.do(f"video.playbackRate = {SPEED}")
    shown.until("video.ended")

    span_s = max(case.right.picture_s, case.right.sound_s)
    assert shown.get("video.duration") == pytest.approx(span_s, abs=0.15)
    assert shown.get("video.currentTime") == pytest.approx(span_s, abs=0.15)
    assert shown.get("errors") == []


# ── What is beside it ────────────────────────────────────────────────────────────


def test_poster_and_previews_show(page):
    shown = page("h264", how="file")

    shown.until("poster.complete && poster.naturalWidth")
    assert shown.get("[poster.naturalWidth, poster.naturalHeight]") == [720, 1280]
    shown.until("document.querySelectorAll('#previews li').length === 2")
    sheet = "Object.assign(new Image(), {crossOrigin: 'anonymous', src: tile})"
    tile = "getComputedStyle(document.querySelector('#previews li')).backgroundImage.slice(5, -2)"
    shown.do(f"const tile = {tile}; window.sheet = {sheet}")
    shown.until("sheet.complete && sheet.naturalWidth")
    assert shown.get("[sheet.naturalWidth, sheet.naturalHeight]") == [180, 160]
    assert is_red_above_blue(shown.get("colours(sheet)"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_may_read_the_pixels_of_the_poster(page, kind):
    shown = page(kind, how="file")

    shown.until("poster.complete && poster.naturalWidth")

    assert is_red_above_blue(shown.get("colours(poster)"))


def is_red_above_blue(colours: list[list[int]]) -> bool:
    (above_red, _, above_blue), (below_red, _, below_blue) = colours
    return above_red > 200 > 60 > above_blue and below_blue > 200 > 60 > below_red


def test_a_page_may_ask_for_a_part_of_the_file_and_reads_which_it_got(page):
    shown = page("h264", how="file")

    status, part, name = shown.get(
        "fetch(`${base}/video.mp4`, {headers: {Range: 'bytes=4-7'}}).then(async (answer) =>"
        " [answer.status, answer.headers.get('Content-Range'), await answer.text()])"
    )

    assert (status, name) == (206, "ftyp")
    assert part.startswith("bytes 4-7/")
