"""Chromium without a window."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [name for name, path in {"chromium": CHROMIUM, "chromedriver": CHROMEDRIVER}.items() if not path]
FLAGS = [
    "headless=new",
    "no-sandbox",  # which root, as in a container, cannot have
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "autoplay-policy=no-user-gesture-required",
    "window-size=900,900",
]
LONGEST_WAIT_S = 30
UNLIMITED = -1


@contextmanager
def chromium(*logs: str) -> Iterator[webdriver.Chrome]:
    """A browser that keeps these logs: "browser" is the console, "performance" what it asked the network."""
    options = webdriver.ChromeOptions()
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(CHROMEDRIVER))
    browser.set_script_timeout(LONGEST_WAIT_S)
    yield browser
    browser.quit()


def limit_network(browser: webdriver.Chrome, *, offline: bool = False, upload: int = UNLIMITED) -> None:
    """Bytes a second that a page may send from now on; without arguments, there is no limit again."""
    limits = {
        "offline": offline, "latency": 0, "downloadThroughput": UNLIMITED, "uploadThroughput": upload
    }  # fmt: skip
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", limits)
