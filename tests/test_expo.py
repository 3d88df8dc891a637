"""The app of clients/expo: its types, its unit tests in jest, and its web export in Chromium.

The export is served by a host of its own, so that it reaches the API from another origin, as in production.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from dev.client import App
from dev.clips import make_clip
from dev.server import Server
from support.chromium import MISSING, chromium, limit_network

PROJECT = Path(__file__).parent.parent
CLIENT, EXPO = PROJECT / "clients" / "javascript", PROJECT / "clients" / "expo"
API = (PROJECT / "docs" / "api.md").read_text()
NEEDED = [
    *MISSING,
    *([] if shutil.which("npx") else ["npx"]),
    *([] if (EXPO / "node_modules" / ".bin" / "expo").exists() else ["Expo (make test-expo installs it)"]),
]
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
)
LONGEST_WAIT_S = 120
SLOW_BYTES_PER_S = 150_000


def heavy(test: Any) -> Any:
    """Needs Expo's packages, and for some tests Chromium."""
    return pytest.mark.expo(pytest.mark.skipif(bool(NEEDED), reason=f"needs {', '.join(NEEDED)}")(test))


def npx(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    offline = {"EXPO_OFFLINE": "1", "EXPO_NO_TELEMETRY": "1", "CI": "1"}  # npm ci has brought all there is
    return subprocess.run(
        ["npx", "--no-install", *command],
        cwd=EXPO,
        env=os.environ | offline | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


# ── What the app shares ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["tiktoken.js", "tiktoken.d.ts"])
def test_the_app_has_the_client_as_it_is(name):
    ours, theirs = (CLIENT / name).read_text(), (EXPO / "src" / name).read_text()

    assert ours == theirs, f"cp clients/javascript/{name} clients/expo/src/"


def test_the_snippets_of_the_api_page_are_those_that_are_tested():
    snippets = (EXPO / "tests" / "snippets.ts").read_text().split("// ── In docs/api.md ──\n")[1]

    shown = [block for block in API.split("```ts\n")[1:] if "expo-file-system" in block]

    assert [block.split("```")[0] for block in shown] == [snippets]


# ── Types and units ──────────────────────────────────────────────────────────────


@heavy
def test_the_types_agree_with_those_of_the_packages():
    checked = npx("tsc", "--noEmit")

    assert checked.returncode == 0, checked.stdout


@heavy
def test_the_packages_are_those_of_the_sdk():
    checked = npx("expo", "install", "--check")

    assert checked.returncode == 0, checked.stdout + checked.stderr


@heavy
def test_the_app_does_on_a_phone_what_its_unit_tests_say(tmp_path):
    clips = {
        "GOOD_CLIP": make_clip(tmp_path / "good.mp4", seconds=2),
        "FAST_CLIP": make_clip(tmp_path / "fast.mp4", rate="60"),
        "LARGE_CLIP": make_clip(
            tmp_path / "large.mp4", size="1080x1920", video_filter="noise=alls=60:allf=t"
        ),
    }
    with Server(tmp_path / "data") as server:
        ran = npx("jest", "--ci", SERVER=server.url, **{name: str(path) for name, path in clips.items()})

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\nTests:       57 passed, 57 total\n" in ran.stderr, ran.stderr


# ── The web export ───────────────────────────────────────────────────────────────


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[str]:
    """The web export on a static host."""
    folder = tmp_path_factory.mktemp("export")
    exported = npx("expo", "export", "--platform", "web", "--output-dir", str(folder))
    assert exported.returncode == 0, exported.stdout + exported.stderr
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        Thread(target=host.serve_forever, daemon=True).start()
        yield f"http://localhost:{host.server_port}"
        host.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "good": make_clip(folder / "good.mp4", seconds=4),
        "long": make_clip(folder / "long.mp4", seconds=20, options=("-b:v", "700k")),
        "landscape": make_clip(folder / "landscape.mp4", seconds=4, size="1920x1080"),
        "fast": make_clip(folder / "fast.mp4", rate="60"),
    }


class Phone:
    """The app in a browser as large as a phone."""

    def __init__(self, browser: webdriver.Chrome, site: str) -> None:
        self.browser = browser
        self.site = site
        size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": IPHONE})
        # The dialog, which nobody here can answer, is not opened; the input that asked for it stays.
        browser.execute_cdp_cmd("Page.setInterceptFileChooserDialog", {"enabled": True})

    def open(self, server: Server) -> None:
        """Open the app, and type where the service is."""
        self.browser.get(self.site)
        self.press_what_says("Change")
        field = self.until(lambda: self.find('[aria-label="Server"]'))
        field[0].clear()
        field[0].send_keys(f"localhost:{server.port}")
        self.press_what_says("Use this server")
        self.until_it_says(f"localhost:{server.port}")

    def find(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements("css selector", selector)

    def text(self) -> str:
        return self.browser.find_element("css selector", "body").text

    def until(self, condition: Any) -> Any:
        drawn_anew = [StaleElementReferenceException]
        wait = WebDriverWait(self.browser, LONGEST_WAIT_S, 0.05, ignored_exceptions=drawn_anew)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"never; now: {self.text()}") from None

    def until_it_says(self, text: str) -> None:
        self.until(lambda: text in self.text())

    def button(self, label: str) -> WebElement:
        """The first that says so."""
        buttons = self.until(lambda: [one for one in self.find('[role="button"]') if label in one.text])
        return buttons[0]

    def press_what_says(self, label: str) -> None:
        self.button(label).click()

    def pick(self, clip: Path, label: str = "Choose a clip") -> None:
        self.press_what_says(label)
        self.until(lambda: self.find("input[type=file]"))[-1].send_keys(str(clip))

    def film(self, expression: str) -> Any:
        """Of the one video that is there."""
        return self.browser.execute_script(
            f"const video = document.querySelector('video'); return {expression}"
        )

    def has_sent(self, percent: int) -> bool:
        shares = [bar.get_attribute("aria-valuenow") for bar in self.find('[role="progressbar"]')]
        return any(int(share or 0) > percent for share in shares)

    def complaints(self) -> list[str]:
        return [line["message"] for line in self.browser.get_log("browser") if line["level"] != "DEBUG"]


def videos(server: Server) -> list[dict]:
    """Newest first."""
    app = App(server.url)
    listed: list[dict] = app.http.get("/videos?limit=100").json()["videos"]
    return listed


@pytest.fixture
def phone(site) -> Iterator[Phone]:
    with chromium("browser") as browser:
        yield Phone(browser, site)


@heavy
def test_a_clip_is_uploaded_followed_and_played(phone, server, clips):
    phone.open(server)
    phone.complaints()  # of the server that the app knew before

    phone.pick(clips["good"])

    phone.until_it_says("Ready in 720p, 540p, 360p")
    assert "good.mp4" in phone.text()
    phone.until(lambda: phone.film("video.currentTime > 0 && video.videoWidth === 720"))
    assert phone.film("video.src").startswith(f"{server.url}/videos/")
    assert phone.complaints() == []
    [video] = videos(server)
    assert (video["filename"], video["state"]) == ("good.mp4", "completed")


@heavy
def test_a_lost_connection_is_survived(phone, server, clips):
    phone.open(server)
    limit_network(phone.browser, upload=SLOW_BYTES_PER_S)
    phone.pick(clips["long"])
    phone.until(lambda: phone.has_sent(5))

    limit_network(phone.browser, offline=True)
    phone.until_it_says("Connection lost")
    limit_network(phone.browser)

    phone.until_it_says("Ready in")


@heavy
def test_a_restart_goes_on_with_the_upload(phone, server, clips):
    phone.open(server)
    limit_network(phone.browser, upload=SLOW_BYTES_PER_S)
    phone.pick(clips["long"])
    phone.until(lambda: phone.has_sent(5))
    before = len(videos(server))

    phone.browser.refresh()
    limit_network(phone.browser)

    phone.until_it_says("Ready in")
    assert len(videos(server)) == before


@heavy
def test_a_file_that_goes_after_it_was_picked_is_sent_all_the_same(phone, server, clips, tmp_path):
    picked = shutil.copy(clips["good"], tmp_path / "picked.mp4")
    phone.open(server)
    limit_network(phone.browser, offline=True)
    phone.pick(picked)
    phone.until_it_says("Connection lost")

    picked.unlink()
    phone.press_what_says("Try now")
    phone.until_it_says("Connection lost")
    limit_network(phone.browser)

    phone.until_it_says("Ready in")


@heavy
def test_who_cancels_takes_the_clip_back(phone, server, clips):
    phone.open(server)
    before = len(videos(server))
    limit_network(phone.browser, upload=SLOW_BYTES_PER_S)
    phone.pick(clips["long"])
    phone.until(lambda: phone.has_sent(5))
    assert len(videos(server)) == before + 1

    phone.press_what_says("Cancel")

    phone.until(lambda: len(videos(server)) == before)
    phone.until_it_says("Choose a clip")


@heavy
def test_everything_can_be_reached_on_a_small_screen(phone, server):
    phone.open(server)
    phone.find('[role="switch"]')[0].click()
    size = {"width": 320, "height": 400, "deviceScaleFactor": 1, "mobile": True}
    phone.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    server_row = phone.button("Change")

    is_below = "return arguments[0].getBoundingClientRect().bottom > innerHeight"
    assert phone.browser.execute_script(is_below, server_row)
    phone.browser.execute_cdp_cmd(
        "Input.synthesizeScrollGesture", {"x": 160, "y": 380, "yDistance": -2000, "speed": 5000}
    )

    assert not phone.browser.execute_script(is_below, server_row)


@heavy
def test_a_page_on_plain_http_uploads_too(phone, server, clips):
    without = "delete Crypto.prototype.randomUUID; delete globalThis.caches"  # as browsers do
    phone.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": without})
    phone.open(server)

    phone.pick(clips["good"])

    phone.until_it_says("Ready in")


@heavy
def test_a_clip_that_cannot_fit_is_explained_before_a_byte_is_sent(phone, server, clips):
    phone.open(server)
    before = len(videos(server))

    phone.pick(clips["landscape"])

    phone.until_it_says("This clip does not fit yet.")
    assert "Nothing was uploaded." in phone.text()
    assert "1920x1080" in phone.text()
    assert "Settings → Camera" in phone.text()  # an iPhone's
    assert "ffmpeg" not in phone.text()
    assert len(videos(server)) == before


@heavy
def test_a_clip_that_the_service_rejects_is_explained_and_another_can_be_chosen(phone, server, clips):
    phone.open(server)

    phone.pick(clips["fast"])

    phone.until_it_says("60 fps")
    assert "uploaded and checked" in phone.text()
    phone.pick(clips["good"], "Choose another clip")
    phone.until_it_says("Ready in")


@heavy
def test_a_clip_that_does_not_fit_is_converted_on_request(phone, server, clips):
    phone.open(server)
    phone.pick(clips["landscape"])

    phone.press_what_says("Convert and send")

    phone.until_it_says("Converting your clip")
    phone.until_it_says("Ready in 720p, 540p, 360p")
    assert "1920x1080 → 720x1280" in phone.text()
    phone.until(lambda: phone.film("video.currentTime > 0 && video.videoWidth === 720"))


@heavy
def test_with_the_switch_on_clips_are_converted_at_once_and_the_browser_remembers(phone, server, clips):
    phone.open(server)
    phone.find('[role="switch"]')[0].click()
    phone.browser.refresh()
    phone.until(lambda: phone.find('[role="switch"]:checked'))

    phone.pick(clips["landscape"])

    phone.until_it_says("Converting your clip")
    phone.until_it_says("Ready in 720p, 540p, 360p")
    assert "1920x1080 → 720x1280" in phone.text()
    phone.until(lambda: phone.film("video.currentTime > 0 && video.videoWidth === 720"))
