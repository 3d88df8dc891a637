"""How the running service bears up when many come at once.

Here it must lose nothing and answer within what the README promises, by a wide margin of
time: a test that a busy machine turns red tells nobody anything.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from client import App, send
from server import Server

UPLOADS = 12
POLLERS = 50
LIMIT_BYTES = 6_291_456


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="module")
def largest(tmp_path_factory, clip):
    """A conforming clip of the largest size: a short one, and a box that players skip."""
    short = clip().read_bytes()
    padding = LIMIT_BYTES - len(short)
    path = tmp_path_factory.mktemp("largest") / "largest.mp4"
    path.write_bytes(short + padding.to_bytes(4) + b"free" + bytes(padding - 8))
    return path


def test_upload_throughput(server, largest):
    """Twelve phones at once: every upload is taken within the 3 s promised, and all complete."""
    app = App(server.url)
    body = largest.read_bytes()

    def upload(_: int) -> tuple[str, float]:
        began = time.perf_counter()
        ticket = App(server.url).ticket(largest)
        send(ticket["upload"], body).raise_for_status()
        return ticket["id"], time.perf_counter() - began

    with ThreadPoolExecutor(UPLOADS) as phones:
        uploads = list(phones.map(upload, range(UPLOADS)))

    slowest_s = max(seconds for _, seconds in uploads)
    print(f"\n{UPLOADS} uploads of {len(body) / 1e6:.1f} MB at once: slowest {slowest_s:.2f} s")
    assert {app.follow(video_id)["state"] for video_id, _ in uploads} == {"completed"}
    assert slowest_s < 3


def test_fifty_clients_poll_while_a_video_is_made(server, clip):
    """Fifty apps follow one video to its end, each as often as it is told to; no answer fails."""
    ticket = App(server.url).upload(clip(seconds=5))
    latencies_s: list[float] = []
    together = threading.Barrier(POLLERS)

    def poll(_: int) -> str:
        with httpx.Client(base_url=server.url, timeout=30) as http:
            together.wait()
            while True:
                began = time.perf_counter()
                status = http.get(f"/videos/{ticket['id']}/status").raise_for_status().json()
                latencies_s.append(time.perf_counter() - began)
                if status["retry_after_ms"] is None:
                    return status["state"]
                time.sleep(status["retry_after_ms"] / 1000)

    with ThreadPoolExecutor(POLLERS) as pollers:
        assert set(pollers.map(poll, range(POLLERS))) == {"completed"}
    ordered = sorted(latencies_s)
    median_ms, p99_ms = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    print(f"\n{len(ordered)} polls by {POLLERS} clients: median {median_ms:.1f} ms, p99 {p99_ms:.1f} ms")
