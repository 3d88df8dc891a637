"""The page of clients/web in Chromium, as a person uses it, at a phone's size and a laptop's."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dev.client import App
from dev.clips import make_clip
from dev.server import Server
from support.chromium import MISSING, chromium, limit_network
from support.issuer import AUDIENCE, Issuer

PROJECT = Path(__file__).parent.parent
WEB = PROJECT / "clients" / "web"
AXE = Path(__file__).parent / "page" / "node_modules" / "axe-core" / "axe.min.js"
NEEDED = MISSING + ([] if AXE.exists() else ["axe-core (make test-clients installs it)"])
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(bool(NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]

SIZES = {"phone": (390, 844), "laptop": (1280, 800)}
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
)
LONGEST_WAIT_S = 120  # a busy machine encodes twenty seconds in forty
SLOW_BYTES_PER_S = 100_000
# As on AWS.
WITHOUT_EVENTS = f"""
import sys; sys.path.insert(0, {str(PROJECT / "functions")!r})
import local_server
from local_aws import sse
sse.EventStreams.routes = lambda self: []
local_server.main()
"""


class Page:
    """The page, in a browser of its own."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        self._url = url

    def open(self, path: str = "/") -> None:
        self.browser.get(self._url + path)

    def get(self, expression: str) -> Any:
        return self.browser.execute_script(f"return {expression}")

    def until(self, condition: str) -> None:
        """Wait for a JavaScript expression to be true."""
        try:
            WebDriverWait(self.browser, LONGEST_WAIT_S, 0.05).until(lambda _: self.get(condition))
        except TimeoutException:
            raise AssertionError(f"never: {condition}; now: {self.text('body')}") from None

    def until_it_says(self, text: str, where: str = "#details") -> None:
        self.until(f"document.querySelector('{where}').innerText.includes({json.dumps(text)})")

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def texts(self, selector: str) -> list[str]:
        return [found.text for found in self.browser.find_elements("css selector", selector)]

    def pick(self, clip: Path) -> None:
        self.find("#file").send_keys(str(clip))

    def press(self, label: str) -> None:
        [button] = [
            found
            for found in self.browser.find_elements("css selector", "button, a.button")
            if found.text == label and found.is_displayed()
        ]
        button.click()

    def video_id(self) -> str:
        return str(self.get("location.hash.slice(1)"))

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [line["message"] for line in self.browser.get_log("browser") if line["level"] != "DEBUG"]

    def requests(self) -> list[str]:
        """The URLs that the page has asked for since this was last asked."""
        events = [json.loads(line["message"])["message"] for line in self.browser.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "blob:", "chrome"))]

    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.requests()}

    def barriers(self) -> list[str]:
        """What axe finds that is serious or worse, with where."""
        if not self.get("'axe' in window"):
            self.browser.execute_script(AXE.read_text())
        found = self.browser.execute_async_script(
            "const done = arguments[0]; axe.run({resultTypes: ['violations']}).then(done)"
        )["violations"]
        return [
            f"{one['id']}: {node['html']}"
            for one in found
            for node in one["nodes"]
            if one["impact"] in ("serious", "critical")
        ]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "good": make_clip(folder / "good.mp4", seconds=4),
        "long": make_clip(folder / "long.mp4", seconds=20, options=("-b:v", "700k")),
        "landscape": make_clip(folder / "landscape.mp4", seconds=4, size="1920x1080"),
        "hevc": make_clip(folder / "hevc.mp4", codec="libx265"),
        "fast": make_clip(folder / "fast.mp4", rate="60"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    """``open_page(url, size="phone", agent=…)``: a page in a new browser, so with an empty list."""
    with chromium("browser", "performance") as browser:

        def opened(url: str, *, path: str = "/", size: str = "laptop", agent: str = "") -> Page:
            width, height = SIZES.get(size) or map(int, size.split("x"))
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size != "laptop"}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.execute_cdp_cmd("Network.enable", {})
            if agent:
                browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent})
            page = Page(browser, url)
            page.open(path)
            return page

        yield opened


# ── A good clip ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
def test_a_good_clip_goes_from_the_picker_to_the_player(open_page, server, clips, size):
    page = open_page(server.url, size=size)
    assert "720 × 1280" in page.text("#details")

    page.pick(clips["good"])

    page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
    page.until("!document.querySelector('.encoding')")
    assert page.text("h1") == "good.mp4"
    assert page.text("#details .lead").startswith("Playable ")
    assert page.texts(".renditions tbody th") == ["720p", "540p", "360p"]
    page.until("video.currentTime > 0 && video.videoWidth > 0")
    assert page.get("video.videoHeight / video.videoWidth") == pytest.approx(16 / 9, abs=0.01)
    assert page.texts("#list li") == ["good.mp4\nComplete"]
    assert page.get("document.getElementById('live').textContent") == "Complete"
    assert page.get("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints() == []
    assert page.hosts() == {f"localhost:{server.port}"}


def test_the_progress_of_the_upload_shows_while_bytes_go(open_page, server, clips):
    page = open_page(server.url)
    limit_network(page.browser, upload=SLOW_BYTES_PER_S)

    page.pick(clips["long"])

    page.until("/^[1-9]\\d? %$/.test(document.getElementById('share').textContent)")
    assert "Sending to storage" in page.text(".steps .now")
    limit_network(page.browser)
    page.until("document.querySelector('.renditions')")


def count(requests: list[str], name: str) -> int:
    return sum(urlsplit(url).path.endswith(name) for url in requests)


def test_the_page_follows_by_events_and_shows_the_progress(open_page, server, clips):
    page = open_page(server.url)

    page.pick(clips["long"])

    page.until("/^Encoding [1-9]\\d %/.test(document.querySelector('.encoding')?.innerText)")
    page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
    page.until("!document.querySelector('.encoding')")
    asked = page.requests()
    assert count(asked, "/events") == 1
    assert 1 <= count(asked, "/status") <= 4  # at first, once it listens, playable, completed
    assert page.complaints() == []


def test_the_page_polls_where_there_are_no_events(open_page, clips, tmp_path):
    with Server(tmp_path, program=("-c", WITHOUT_EVENTS)) as server:
        page = open_page(server.url)

        page.pick(clips["long"])

        page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
        page.until("!document.querySelector('.encoding')")
        asked = page.requests()
        assert count(asked, "/events") == 1
        assert count(asked, "/status") > 4


def test_many_tabs_leave_the_browser_connections_to_work_with(open_page, server, clips):
    """It opens six to a host at most, and a stream keeps one."""
    ids = [App(server.url).ticket(clips["good"])["id"] for _ in range(7)]
    page = open_page(server.url)
    page.browser.set_page_load_timeout(20)
    for video_id in ids:
        page.browser.switch_to.new_window("tab")
        page.open(f"/#{video_id}")
        page.until_it_says("This upload stopped")

    page.pick(clips["good"])

    page.until("document.querySelector('.renditions')")
    page.browser.switch_to.window(page.browser.window_handles[1])
    httpx.delete(f"{server.url}/videos/{ids[0]}")
    page.until_it_says("No video has the id", where="body")


def test_an_upload_can_be_cancelled(open_page, server, clips):
    page = open_page(server.url)
    limit_network(page.browser, upload=SLOW_BYTES_PER_S)
    page.pick(clips["long"])
    page.until("parseInt(document.getElementById('share').textContent) > 0")
    video_id = page.video_id()

    page.press("Cancel")

    page.until_it_says("One portrait clip")
    assert page.texts("#list li") == []
    assert App(server.url).http.get(f"/videos/{video_id}/status").status_code == 404


def test_a_clip_that_this_browser_cannot_decode_plays_once_it_is_encoded(open_page, server, clips):
    page = open_page(server.url)

    page.pick(clips["hevc"])

    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    page.until("video.currentTime > 0 && video.videoWidth > 0")


def test_the_scrubber_moves_by_keyboard_and_shows_where(open_page, server, clips):
    page = open_page(server.url)
    page.pick(clips["good"])
    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    page.browser.execute_script("video.pause(); video.currentTime = 0")
    page.until("video.currentTime === 0 && !video.seeking")
    assert not page.find("#preview").is_displayed()

    page.find("#position").send_keys(Keys.ARROW_RIGHT * 3)

    page.until("Math.abs(video.currentTime - 3) < 0.1")
    page.until("position.getAttribute('aria-valuetext') === '0:03 of 0:04'")
    assert page.find("#preview").is_displayed()
    place = page.get("getComputedStyle(preview).backgroundPosition")
    assert place == "-90px 0px"  # the second still, of the third second and the fourth
    assert "/storage/" in page.get("getComputedStyle(preview).backgroundImage")


def test_a_link_shows_a_video_on_another_device(open_page, server, clips):
    app = App(server.url)
    video_id = app.upload(clips["good"])["id"]
    app.follow(video_id)

    page = open_page(server.url, path=f"/#{video_id}")

    page.until("document.querySelector('.renditions')")
    assert page.text("h1") == "good.mp4"
    assert page.get("video.paused")
    page.find("#play").click()
    page.until("video.currentTime > 0.2")
    assert page.complaints() == []


# ── A rejected clip ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
def test_a_clip_that_the_browser_can_judge_is_not_sent(open_page, server, clips, size):
    page = open_page(server.url, size=size)

    page.pick(clips["landscape"])

    page.until_it_says("Not sent")
    assert page.texts(".violations .found") == ["1920x1080"]
    assert page.get("document.querySelector('.readers :checked').value") == "computer"
    assert page.text(".advice").startswith("Send it anyway")
    assert page.texts("#list li") == []
    assert page.complaints() == []
    page.press("Choose another clip")
    page.until_it_says("One portrait clip")
    page.until("document.activeElement.id === 'file'")


@pytest.mark.parametrize("size", SIZES)
def test_a_clip_that_the_service_rejects_shows_why_and_what_to_do(open_page, server, clips, size):
    page = open_page(server.url, size=size, agent=IPHONE if size == "phone" else "")

    page.pick(clips["fast"])

    page.until_it_says("Rejected by the service")
    assert page.texts(".violations .found") == ["60 fps"]
    assert page.texts("#list li") == ["fast.mp4\nRejected"]
    assert (
        page.get("document.getElementById('live').textContent") == "Not accepted. Invalid frame rate: 60 fps"
    )
    own = "ios" if size == "phone" else "computer"
    assert page.get("document.querySelector('.readers :checked').value") == own
    assert ("Settings" in page.text(".advice")) == (own == "ios")
    assert page.complaints() == []


def test_a_clip_may_be_sent_against_the_browsers_advice(open_page, server, clips):
    page = open_page(server.url)
    page.pick(clips["landscape"])
    page.until_it_says("Not sent")

    page.press("Send it anyway")

    page.until_it_says("Rejected by the service")
    assert page.texts(".violations .found") == ["1920x1080"]


# ── A clip that is converted ─────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("clip", ["landscape", "fast"])
def test_a_rejected_clip_can_be_converted(open_page, server, clips, size, clip):
    """The browser rejects the one, the service the other."""
    page = open_page(server.url, size=size)
    page.pick(clips[clip])
    page.until("document.querySelector('.violations')")

    page.press("Convert and send")

    page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
    page.until("!document.querySelector('.encoding')")
    changed = {"landscape": "Picture\n1920x1080 → 720x1280", "fast": "Frame rate\n60 fps → 30 fps"}
    assert page.texts(".changes dl div") == [changed[clip]]
    page.until("video.currentTime > 0 && video.videoWidth > 0")  # of any rendition: the browser adapts
    assert page.get("video.videoHeight / video.videoWidth") == pytest.approx(16 / 9, abs=0.01)
    assert page.texts("#list li") == [f"{clip}.mp4\nComplete"]
    assert page.get("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints() == []


def test_with_the_switch_on_clips_are_converted_at_once_and_the_browser_remembers(open_page, server, clips):
    page = open_page(server.url)
    assert not page.get("document.getElementById('convert').checked")
    page.find("#convert").click()
    page.open()
    assert page.get("document.getElementById('convert').checked")

    page.pick(clips["landscape"])

    page.until_it_says("Converting")
    page.until_it_says("1920x1080 → 720x1280")
    page.until("document.querySelector('.renditions')")


def test_how_a_picture_of_another_shape_is_to_fit_is_asked_where_clips_are_converted(
    open_page, server, clips
):
    page = open_page(server.url)
    assert not page.find("#fill").is_displayed()
    page.find("#convert").click()
    page.find("#fill").click()
    page.open()
    assert page.get("document.getElementById('fill').checked")
    assert page.find("#fill").is_displayed()

    page.pick(clips["landscape"])

    page.until("document.querySelector('.renditions')")
    page.until("video.currentTime > 0")
    assert has_bars(page) is False


def test_a_rejected_picture_of_another_shape_gets_bars_unless_it_is_to_fill_the_frame(
    open_page, server, clips
):
    page = open_page(server.url)
    page.pick(clips["landscape"])
    page.until("document.querySelector('.violations')")
    assert not page.get("document.getElementById('fill').checked")

    page.press("Convert and send")

    page.until("document.querySelector('.renditions')")
    page.until("video.currentTime > 0")
    assert has_bars(page) is True


def has_bars(page) -> bool:
    """Whether the top of the picture that plays is black."""
    brightest: int = page.get(
        """(() => {
          const canvas = Object.assign(document.createElement("canvas"), {width: 72, height: 128});
          const context = canvas.getContext("2d");
          context.drawImage(video, 0, 0, 72, 128);
          return Math.max(...context.getImageData(0, 0, 72, 20).data.filter((_, at) => at % 4 < 3));
        })()"""
    )
    return brightest < 40


# ── Delete ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
def test_a_clip_is_deleted_once_that_is_confirmed(open_page, server, clips, size):
    page = open_page(server.url, size=size)
    page.pick(clips["good"])
    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    video_id = page.video_id()

    page.press("Delete")
    page.press("Keep it")
    assert App(server.url).status(video_id)["state"] == "completed"
    page.press("Delete")
    page.press("Delete for good")

    page.until_it_says("One portrait clip")
    assert page.texts("#list li") == []
    assert page.video_id() == ""
    assert App(server.url).http.get(f"/videos/{video_id}/status").status_code == 404
    assert page.complaints() == []


# ── Reload, and a lost connection ────────────────────────────────────────────────


def test_a_reload_goes_on_following(open_page, server, clips):
    page = open_page(server.url)
    page.pick(clips["long"])
    page.until("/^#[0-9a-f-]{36}$/.test(location.hash) && document.querySelector('.renditions')")

    page.browser.refresh()

    page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
    page.until("!document.querySelector('.encoding')")
    assert page.text("h1") == "long.mp4"
    assert page.texts("#list li") == ["long.mp4\nComplete"]


def test_a_reload_while_bytes_go_says_that_the_clip_must_be_chosen_again(open_page, server, clips):
    page = open_page(server.url)
    limit_network(page.browser, upload=SLOW_BYTES_PER_S)
    page.pick(clips["long"])
    page.until("parseInt(document.getElementById('share').textContent) > 0")

    page.browser.refresh()  # Chromium asks only who has touched the page

    limit_network(page.browser)
    page.until_it_says("This upload stopped before the file arrived.")
    assert page.texts("#list li") == ["long.mp4\nWaiting for the file"]
    page.press("Choose the clip again")
    page.until_it_says("One portrait clip")


def test_a_clip_that_is_picked_while_the_service_is_down_can_be_tried_again(open_page, clips, tmp_path):
    with Server(tmp_path) as server:
        page = open_page(server.url)
        server.kill()
        page.pick(clips["good"])
        page.until_it_says("The service cannot be reached.")
        server.start()

        page.press("Try again")

        page.until("document.querySelector('.renditions')")


def test_an_upload_survives_a_lost_connection(open_page, server, clips):
    page = open_page(server.url)
    limit_network(page.browser, upload=SLOW_BYTES_PER_S)
    page.pick(clips["long"])
    page.until("parseInt(document.getElementById('share').textContent) > 0")

    limit_network(page.browser, offline=True)
    page.until_it_says("Trying again in")
    assert page.get("document.getElementById('connection').classList.contains('lost')")
    limit_network(page.browser)

    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    assert len(page.texts("#list li")) == 1


def test_a_clip_is_followed_over_a_restart_of_the_service(open_page, clips, tmp_path):
    with Server(tmp_path) as server:
        page = open_page(server.url)
        page.pick(clips["long"])
        page.until("document.querySelector('.encoding')")

        server.kill()
        page.until_it_says("Trying again in")
        server.start()

        page.until("document.querySelectorAll('.renditions tbody tr').length === 3")
        page.until("!document.querySelector('.encoding')")
        page.until("!document.getElementById('connection').classList.contains('lost')")


# ── Elsewhere ────────────────────────────────────────────────────────────────────


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def static_host(tmp_path) -> Iterator[str]:
    """The page on any static host."""
    shutil.copytree(WEB, tmp_path / "site")
    handler = partial(QuietHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()


def test_the_page_on_a_static_host_works_with_another_api(open_page, server, static_host, clips):
    page = open_page(static_host, path=f"/?api={server.url}")
    assert page.text("#host") == f"localhost:{server.port}"

    page.pick(clips["good"])

    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    page.until("video.currentTime > 0")
    assert page.complaints() == []
    page.press("Delete")
    page.press("Delete for good")
    page.until_it_says("One portrait clip")


def test_the_local_page_works_with_another_api(open_page, server, tmp_path, clips):
    with Server(tmp_path) as other:
        page = open_page(server.url, path=f"/?api={other.url}")

        page.pick(clips["good"])

        page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
        assert App(other.url).status(page.video_id())["state"] == "completed"


def test_a_token_that_is_pasted_opens_ones_own_list(open_page, clips, tmp_path):
    issuer = Issuer()
    with issuer, pytest.MonkeyPatch.context() as env:
        env.setenv("JWT_ISSUER", issuer.url)
        env.setenv("JWT_AUDIENCE", AUDIENCE)
        with Server(tmp_path) as server:
            app = App(server.url)
            app.http.headers["Authorization"] = f"Bearer {issuer.token()}"
            app.follow(app.upload(clips["good"])["id"])
            page = open_page(server.url)

            page.pick(clips["good"])
            page.until("document.getElementById('connect').open")
            assert page.barriers() == []
            page.find("#token").send_keys(issuer.token())
            page.press("Connect")

            page.until("document.querySelectorAll('#list li').length === 1")
            page.find("#list a").click()
            page.until("document.querySelector('.renditions')")
            page.find("#play").click()
            page.until("video.currentTime > 0.2")


# ── For everybody ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_serious(open_page, server, clips, size, scheme):
    page = open_page(server.url, size=size)
    media = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    page.until("document.querySelectorAll('.card').length === 4")
    assert page.barriers() == []

    page.pick(clips["fast"])
    page.until_it_says("Rejected by the service")
    assert page.barriers() == []

    page.press("New upload")
    page.pick(clips["good"])
    page.until("document.querySelector('.renditions') && !document.querySelector('.encoding')")
    assert page.get("video.paused")  # motion is reduced
    assert page.barriers() == []

    page.press("Delete")
    assert page.barriers() == []


def test_the_page_fits_the_smallest_phones(open_page, server, clips):
    page = open_page(server.url, size="360x640")
    fits = "document.documentElement.scrollWidth <= 360"
    assert page.get(fits)

    page.pick(clips["fast"])
    page.until_it_says("Rejected by the service")
    assert page.get(fits)

    page.press("New upload")
    page.pick(clips["good"])
    page.until("document.querySelector('.renditions')")
    assert page.get(fits)


def test_health_is_drawn_from_what_the_service_reports(open_page, server):
    page = open_page(server.url)

    page.until("document.querySelectorAll('.card').length === 4")

    assert page.texts(".card h3") == ["Time from upload", "Outcomes", "Queue", "Parts"]
    assert "everything works" in page.text("#health-summary")
    assert {"ffmpeg", "magic", "table", "queue", "storage"} <= set(page.texts(".card .label"))
