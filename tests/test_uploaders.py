"""The uploaders of docs/api.md as they stand there: in Chromium, on a page of another origin."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.support.ui import WebDriverWait

from dev.client import App
from dev.clips import make_clip
from dev.server import Server
from support.chromium import MISSING, chromium, limit_network
from support.processes import eventually
from support.snippets import snippets

PROJECT = Path(__file__).parent.parent
PACKAGES = Path(__file__).parent / "uploaders"
UPPY_5 = PACKAGES / "uppy5" / "node_modules"
ESBUILD = PACKAGES / "node_modules" / ".bin" / "esbuild"
NEEDED = MISSING + [
    f"{path.parent.parent.name}'s packages (make test-clients installs them)"
    for path in (ESBUILD.parent, UPPY_5 / "@uppy")
    if not path.exists()
]
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(bool(NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]

PATIENCE_S = 60
# heading, number of the block, node_modules
UPPYS = {
    "6, one URL": ("Uppy 6", 0, PACKAGES / "node_modules"),
    "6, ticket": ("Uppy 6", 1, PACKAGES / "node_modules"),
    "5, one URL": ("Uppy 5", 0, UPPY_5),
    "5, ticket": ("Uppy 5", 1, UPPY_5),
}
PAGE = '<!doctype html><link rel="icon" href="data:,"><input type="file"><script src="script.js"></script>'
# What a page of its own has around the snippet.
BEFORE = """
globalThis.followed = [];
globalThis.follow = (id) => followed.push(id);
"""
ADD_TO_UPPY = """
globalThis.upload = async (name, meta) => {
  const data = await (await fetch(name)).blob();
  uppy.addFile({ name, type: data.type, data, meta });
  const { successful, failed } = await uppy.upload();
  return [successful, failed].map((files) => files.map(({ error, response }) => error ?? response.body.key));
};
"""


FILEPOND_STATUS = "document.querySelector('.filepond--file-status-main')"


class Handler(SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")  # the next page has another script of the same name
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Site:
    """A page on a host of its own, with a clip beside it, in a browser."""

    def __init__(self, browser: webdriver.Chrome, url: str, folder: Path) -> None:
        self.browser, self.url, self.folder = browser, url, folder

    def open(self, code: str, modules: Path) -> None:
        """Make one script of the code and the packages that it imports, and open a page with it."""
        shutil.copy(PROJECT / "clients" / "javascript" / "tiktoken.js", self.folder)
        (self.folder / "entry.js").write_text(code)
        subprocess.run(
            [ESBUILD, "entry.js", "--bundle", "--format=iife", "--outfile=script.js", "--log-level=warning"],
            cwd=self.folder,
            env=os.environ | {"NODE_PATH": str(modules)},
            check=True,
        )
        (self.folder / "index.html").write_text(PAGE)
        self.browser.get(self.url)
        self.browser.get_log("browser")

    def run(self, script: str):
        return self.browser.execute_script(script)

    def ask(self, body: str):
        """What an async function with this body resolves to."""
        told = self.browser.execute_async_script(
            f"const [done] = arguments; (async () => {{{body}}})().then(done, (error) => done(`${{error}}`))"
        )
        assert isinstance(told, list), told
        return told

    def upload(self, name: str = "clip.mp4", meta: str = "{}") -> tuple[list[str], list[str]]:
        """The keys of what Uppy has uploaded, and the errors of what it has not."""
        uploaded, failed = self.ask(f"return await upload({name!r}, {meta})")
        return uploaded, failed

    def pick(self, name: str) -> None:
        self.until("document.querySelector('.filepond--browser') !== null")  # it draws itself a moment later
        self.browser.find_element("css selector", "input[type=file]").send_keys(str(self.folder / name))

    def until(self, condition: str) -> None:
        try:
            WebDriverWait(self.browser, PATIENCE_S, 0.05).until(lambda _: self.run(f"return {condition}"))
        except TimeoutException:
            now = self.run("return document.body.innerText")
            raise AssertionError(f"never: {condition}; now: {now}; {self.complaints()}") from None

    def followed(self) -> str:
        """The id that the page has handed to follow."""
        self.until("followed.length > 0")
        [video_id] = self.run("return followed")
        return str(video_id)

    def complaints(self) -> list[str]:
        return [line["message"] for line in self.browser.get_log("browser") if line["level"] != "DEBUG"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    make_clip(folder / "clip.mp4", seconds=1)
    make_clip(folder / "landscape.mp4", size="1920x1080")
    (folder / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "large.mp4").write_bytes(bytes(6_291_457))
    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as host, chromium("browser") as browser:
        Thread(target=host.serve_forever, daemon=True).start()
        yield Site(browser, f"http://127.0.0.1:{host.server_port}", folder)
        host.shutdown()


@pytest.fixture(scope="module")
def server(site, tmp_path_factory) -> Iterator[Server]:
    """One that lets pages of that site upload, and no other."""
    with pytest.MonkeyPatch.context() as env:
        env.setenv("ALLOWED_ORIGINS", site.url)
        with Server(tmp_path_factory.mktemp("server")) as running:
            yield running


def snippet(server: Server, heading: str, number: int = 0) -> str:
    return BEFORE + snippets(heading, "js", host=f"localhost:{server.port}")[number]


def playable(server: Server, video_id: str) -> dict:
    app = App(server.url)
    assert app.follow(video_id, until=lambda status: status["playable"])["playable"]
    return app.metadata(video_id)


# ── Uppy ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("uppy", UPPYS)
def test_uppy_uploads_from_another_origin_and_the_page_learns_the_id(site, server, uppy):
    heading, number, modules = UPPYS[uppy]
    site.open(snippet(server, heading, number) + ADD_TO_UPPY, modules)

    uploaded, failed = site.upload(meta="{external_id: 'draft-7', caption: 'Über uns'}")

    assert (uploaded, failed) == ([f"uploads/{site.followed()}"], [])
    video = playable(server, site.followed())
    assert video["filename"] == "clip.mp4"
    if "one URL" in uppy:
        assert (video["external_id"], video["custom"]) == ("draft-7", {"caption": "Über uns"})
    assert site.complaints() == []


@pytest.mark.parametrize(
    ("uppy", "error"),
    [
        ("5, one URL", "Invalid content type: 'image/jpeg'"),
        ("5, ticket", "Invalid content type: 'image/jpeg'"),
        ("6, ticket", "Invalid content type: 'image/jpeg'"),
        ("6, one URL", "Companion request failed: Unsupported Media Type"),  # as docs/api.md says
    ],
)
def test_uppy_shows_why_a_ticket_was_refused(site, server, uppy, error):
    heading, number, modules = UPPYS[uppy]
    site.open(snippet(server, heading, number) + ADD_TO_UPPY, modules)

    assert site.upload("picture.jpg") == ([], [error])


@pytest.mark.parametrize("uppy", UPPYS)
def test_storage_takes_no_file_over_the_limit_from_uppy(site, server, uppy):
    heading, number, modules = UPPYS[uppy]
    site.open(snippet(server, heading, number) + ADD_TO_UPPY, modules)

    uploaded, failed = site.upload("large.mp4")

    assert (uploaded, len(failed)) == ([], 1)


# ── FilePond ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [0, 1], ids=["client", "one URL"])
def test_filepond_uploads_from_another_origin_and_the_page_learns_the_id(site, server, number):
    site.open(snippet(server, "FilePond", number), PACKAGES / "node_modules")

    site.pick("clip.mp4")

    assert playable(server, site.followed())["filename"] == "clip.mp4"
    assert site.complaints() == []


@pytest.mark.parametrize(
    ("number", "name", "error"),
    [
        (0, "picture.jpg", "Invalid content type: 'image/jpeg'"),
        (0, "large.mp4", "Invalid file size: "),
        (1, "landscape.mp4", "Invalid resolution: 1920x1080"),
    ],
)
def test_filepond_shows_why_a_file_was_refused(site, server, number, name, error):
    site.open(snippet(server, "FilePond", number), PACKAGES / "node_modules")

    site.pick(name)

    site.until(f"{FILEPOND_STATUS}?.textContent.startsWith({error!r})")


@pytest.mark.parametrize("number", [0, 1], ids=["client", "one URL"])
def test_filepond_shows_that_there_is_no_connection(site, server, number):
    code = snippet(server, "FilePond", number).replace("api.upload(file, {", "api.upload(file, { retries: 0,")
    site.open(code, PACKAGES / "node_modules")
    limit_network(site.browser, offline=True)
    try:
        site.pick("clip.mp4")

        site.until(f"{FILEPOND_STATUS}?.textContent === 'The service cannot be reached.'")
    finally:
        limit_network(site.browser)


def test_what_is_taken_back_in_filepond_is_deleted(site, server):
    site.open(snippet(server, "FilePond") + "globalThis.pond = pond;", PACKAGES / "node_modules")
    site.pick("clip.mp4")
    video_id = site.followed()

    site.run("pond.removeFile({revert: true})")

    assert eventually(lambda: httpx.get(f"{server.url}/videos/{video_id}").status_code == 404)


# ── Without a library ────────────────────────────────────────────────────────────


def test_a_page_uploads_by_fetch_and_xhr_and_hears_of_its_progress(site, server):
    site.open(snippet(server, "fetch and XHR") + "globalThis.upload = upload;", PACKAGES / "node_modules")

    video_id, shares = site.ask(
        """
        const shares = [];
        const file = new File([await (await fetch("clip.mp4")).blob()], "clip.mp4", { type: "video/mp4" });
        return [await upload(file, (share) => shares.push(share)), shares];
        """
    )

    assert playable(server, video_id)["filename"] == "clip.mp4"
    assert shares[-1] == 1
    assert site.complaints() == []


# ── CORS ─────────────────────────────────────────────────────────────────────────


def test_the_console_says_what_the_documentation_quotes(site, tmp_path, monkeypatch):
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example")
    with Server(tmp_path / "data") as server:
        site.open(snippet(server, "Uppy 6", 1) + ADD_TO_UPPY, PACKAGES / "node_modules")
        site.upload()
        complaints = " ".join(site.complaints())
        [quoted] = snippets("Pages of another origin", "", host=f"localhost:{server.port}")

    assert " ".join(quoted.replace("https://app.example", site.url).split()) in complaints
