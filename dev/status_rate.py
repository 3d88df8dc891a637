"""Requests a second of the local server's status route, beside a bare FastAPI app that reads the same row.

Both are asked over the same number of kept connections by the same client, in turns.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.table import Table

from dev.client import App
from dev.measure import Budget, NotMeasured, new_table, screen, spread
from dev.server import Server, free_port

CONNECTIONS = 8
ASKED_S = 2.0  # for each measurement
WARM_UP_S = 0.5
OURS, BARE = "local server", "bare FastAPI"


def measure(rounds: int) -> dict[str, list[float]]:
    """Requests a second, by server and round."""
    found: dict[str, list[float]] = {OURS: [], BARE: []}
    with tempfile.TemporaryDirectory(prefix="bench-rate-") as name, Server(Path(name)) as server:
        clip = Path(name) / "clip.mp4"
        clip.write_bytes(bytes(1000))
        path = f"/videos/{App(server.url).ticket(clip)['id']}/status"
        with _bare(Path(name) / "videos.db", path) as port:
            ports = {OURS: server.port, BARE: port}
            for of in ports.values():
                asyncio.run(_rate(of, path, WARM_UP_S))
            for number in range(1, rounds + 1):
                for who, of in ports.items():
                    with screen.status(f"round {number} of {rounds}: status of the {who}"):
                        found[who].append(asyncio.run(_rate(of, path, ASKED_S)))
    return found


@contextmanager
def _bare(database: Path, path: str) -> Iterator[int]:
    """The port of the FastAPI app, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "dev.bare_status:app", "--port", str(port)]
    command += ["--log-level", "error", "--no-access-log"]
    process = subprocess.Popen(command, env={**os.environ, "DATABASE": str(database)})
    try:
        deadline = time.monotonic() + 30
        while not _answers(f"http://localhost:{port}{path}"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotMeasured("The FastAPI app did not start.")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


async def _rate(port: int, path: str, for_s: float) -> float:
    """Answers a second. Not with httpx, which takes longer to ask than either to answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: */*\r\n\r\n".encode()
    ends_at = time.perf_counter() + for_s

    async def ask() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answers = 0
        while time.perf_counter() < ends_at:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                raise NotMeasured(f"A status was answered with {head.splitlines()[0].decode()}.")
            _, _, length = head.lower().partition(b"content-length:")
            await reader.readexactly(int(length.split(b"\r\n")[0]))
            answers += 1
        writer.close()
        return answers

    began = time.perf_counter()
    answers = sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS))))
    return answers / (time.perf_counter() - began)


def budgets(found: dict[str, list[float]]) -> list[Budget]:
    ratios = [ours / bare for ours, bare in zip(found[OURS], found[BARE], strict=True)]
    return [Budget("status reads a second ÷ bare FastAPI", 1.2, "×", ratios, at_least=True)]


def table(found: dict[str, list[float]]) -> Table:
    made = new_table("Status reads a second", "", *found)
    made.add_row(f"{CONNECTIONS} connections", *map(spread, found.values()))
    return made
