"""How long the handlers of ticket, status and metadata take above the calls of their ports.

In a process of its own, with the local adapters. Whatever storage, table and queue take is subtracted.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from rich.table import Table

from dev.measure import Budget, new_table, screen, share_of

CALLS = 400  # of each
WARM_UP = 20
ROUTES = ("ticket", "status", "metadata")


def measure(rounds: int) -> dict[str, list[list[float]]]:
    """Milliseconds of every call, by route and round."""
    found: dict[str, list[list[float]]] = {route: [] for route in ROUTES}
    for number in range(1, rounds + 1):
        with screen.status(f"round {number} of {rounds}: handlers"), tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.json"
            # Its log lines belong to the handlers' time; here nobody reads them.
            subprocess.run(
                [sys.executable, "-m", "dev.handlers", figures], check=True, stdout=subprocess.DEVNULL
            )
            for route, took_ms in json.loads(figures.read_text()).items():
                found[route].append(took_ms)
    return found


def budgets(found: Mapping[str, list[list[float]]]) -> list[Budget]:
    return [
        Budget(
            f"{route} handler above its ports, p{share * 100:g}",
            limit_ms,
            "ms",
            [share_of(of, share) for of in rounds],
        )
        for route, rounds in found.items()
        for share, limit_ms in ((0.5, 1.0), (0.95, 2.0))
    ]


def table(found: Mapping[str, list[list[float]]]) -> Table:
    made = new_table("Handlers above their ports, ms, all calls", "", "p50", "p95", "p99", "most")
    for route, rounds in found.items():
        calls = [ms for of in rounds for ms in of]
        made.add_row(
            route, *(f"{share_of(calls, share):.2f}" for share in (0.5, 0.95, 0.99)), f"{max(calls):.2f}"
        )
    return made


# ── In the other process ─────────────────────────────────────────────────────────


class TimedPort:
    """A port that adds what each of its calls takes to ``Clock.spent_s``."""

    def __init__(self, port: object, clock: "Clock") -> None:
        self._port = port
        self._clock = clock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._port, name)

        @wraps(call)
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self._clock.spent_s += time.perf_counter() - began

        return timed


class Clock:
    spent_s = 0.0


def _take(folder: Path) -> dict[str, list[float]]:
    os.environ |= {
        "STORAGE_MODE": "local",
        "LOCAL_FOLDER": str(folder),
        "PUBLIC_URL": "http://localhost:8000",
    }
    import read_video
    import request_upload
    from local_aws.events import Context, api_event
    from videos import wiring

    clock, make = Clock(), wiring.make_service

    def make_timed(env: Mapping[str, str]) -> Any:
        whole = make(env)
        ports = {name: TimedPort(getattr(whole, name), clock) for name in ("storage", "videos", "jobs")}
        return replace(whole, **ports)  # type: ignore[arg-type]

    wiring.make_service = make_timed
    body = json.dumps({"filename": "a.mp4", "content_type": "video/mp4", "size": 5_000_000}).encode()
    headers = [("host", "localhost:8000"), ("content-type", "application/json")]

    def ask(module: Any, method: str, path: str, video_id: str = "", body: bytes = b"") -> tuple[Any, float]:
        parameters = {"video_id": video_id} if video_id else {}
        url = path.format(video_id=video_id)
        event = api_event(method, path.format(video_id="<video_id>"), url, parameters, body, headers=headers)
        clock.spent_s = 0.0
        began = time.perf_counter()
        answer = module.handler(event, Context("bench", 29))
        took_s = time.perf_counter() - began
        assert answer["statusCode"] in (200, 201), answer
        return json.loads(answer["body"]), (took_s - clock.spent_s) * 1000

    def ticket() -> tuple[Any, float]:
        return ask(request_upload, "POST", "/upload", body=body)

    video_id = ticket()[0]["id"]
    calls: dict[str, Callable[[], tuple[Any, float]]] = {
        "ticket": ticket,
        "status": lambda: ask(read_video, "GET", "/videos/{video_id}/status", video_id),
        "metadata": lambda: ask(read_video, "GET", "/videos/{video_id}/metadata", video_id),
    }
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    gc.freeze()  # as the local server does, and a function on Lambda
    return {route: [call()[1] for _ in range(CALLS)] for route, call in calls.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        Path(sys.argv[1]).write_text(json.dumps(_take(Path(name))))
