"""How the service bears up when many come at once: on this machine, while it transcodes.

    make load                                       with a clip made on the spot
    make load BENCH_CLIP=clip.mp4 LOAD_ROUNDS=3     with one of yours

Two crowds, each on a server of its own that has clips to transcode from first to last:

    asked for    12 uploads of 6 MB at once, 50 apps that ask for a status every second, and readers
                 of metadata and health
    beyond       100 uploads and 500 apps: more than is let in. Nobody may lose anything, and who is
                 refused comes back when told

Then 50 apps ask for the status of one video, on a server that transcodes nothing: first alone, then
while forms of 4 MB arrive, three at a time. What the forms add to the p99 is a ratio within one round.

Arrivals are on a clock: each request is due at its moment, whatever became of those before it, and
its latency counts from that moment. So a server that stalls is charged with all who came meanwhile.
Ours, because locust and molotov wait for an answer before they ask again, and k6 and vegeta, which
keep a clock, are no wheels and count from when a request was sent.

Exits with 1 if a budget is broken, with 2 if something could not be measured. Linux only (/proc).
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from dev.client import App
from dev.clips import make_clip, padded
from dev.measure import (
    Budget,
    Measured,
    NotMeasured,
    budgets_table,
    new_table,
    parsed,
    run_program,
    screen,
    share_of,
    spread,
)
from videos.checking.rules import SPEC

POLL_S = 1.0  # as often as a young video asks for; an older one asks to be left alone for longer
READS_EACH_S = 5  # of metadata, and of health
SETTLE_S = 2.0  # of polling, before the uploads come
PATIENCE_S = 30  # for one answer
MOST_TRIES = 60  # of what is refused
LONGEST_S = 1800  # until the last video is complete
FORM_BYTES = 4_300_000  # as large as is let in, with room for the form
FORMS_AT_ONCE = 3
FORMS_S = 10.0  # of polling without forms, and as long with them
PIECE_BYTES = 256 * 1024
FINAL = {"completed", "rejected", "failed", "expired"}
ROUTES = ("status", "metadata", "health")


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes at once, to a server that has ``first`` in the works; ``clip`` is what they upload."""

    name: str
    uploads: int
    pollers: int
    clip: Path
    first: Path


@dataclass
class Tally:
    """What became of the requests of one route.

    Attributes:
        answered_ms: from when each was due.
        refused_ms: the same, of those that were told when to come back.
        wrong: everything else, by kind.
    """

    answered_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)


@dataclass
class Run:
    """One crowd, once.

    Attributes:
        upload_s: of each upload, from when it was due until storage had answered, refusals included.
        late_ms: how late requests left us: our own share in every latency.
        unanswered_s: the longest that an app went without an answer because it was refused.
        lost: uploads without success, videos that did not complete, apps that were never let in.
    """

    routes: dict[str, Tally] = field(default_factory=dict)
    upload_s: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    unanswered_s: float = 0.0
    lost: int = 0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    own_peak_mb: float = 0.0
    tracebacks: int = 0

    @property
    def wrong(self) -> Counter[str]:
        return sum((tally.wrong for tally in self.routes.values()), Counter())

    @property
    def refused(self) -> int:
        return sum(len(tally.refused_ms) for tally in self.routes.values())


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        crowds = _crowds(Path(folder), arguments.clip)
        runs: dict[str, list[Run]] = {crowd.name: [] for crowd in crowds}
        for number in range(1, arguments.rounds + 1):
            for crowd in crowds:
                with screen.status(f"round {number} of {arguments.rounds}: {crowd.name}"):
                    runs[crowd.name].append(measure(crowd))
            with screen.status(f"round {number} of {arguments.rounds}: forms"):
                for name, run in measure_forms(Path(folder)).items():
                    runs.setdefault(name, []).append(run)
    budgets = budgets_of(runs)
    _show(runs, budgets)
    if arguments.json:
        arguments.json.write_text(json.dumps(_as_json(runs, budgets), indent=1) + "\n")
    return 0 if all(budget.holds for budget in budgets) else 1


def asked_for(clip: Path) -> Crowd:
    return Crowd("asked for", uploads=12, pollers=50, clip=clip, first=clip)


def _crowds(folder: Path, clip: Path | None) -> list[Crowd]:
    """``beyond`` sends short clips, or a hundred of them would take until tomorrow."""
    with screen.status("making clips with ffmpeg"):
        longer = clip or padded(make_clip(folder / "10s.mp4", seconds=10), SPEC.max_bytes)
        short = padded(make_clip(folder / "1s.mp4"), SPEC.max_bytes)
    return [asked_for(longer), Crowd("beyond", uploads=100, pollers=500, clip=short, first=longer)]


def measure(crowd: Crowd) -> Run:
    """Let the crowd come to a server that has just started, until everything is complete."""
    run = Run()
    with Measured() as server:
        first = _begin(server.url, crowd.first)
        began = time.perf_counter()
        asyncio.run(Rush(crowd, server.url, first, run).until_complete())
        run.wall_s = time.perf_counter() - began
    run.peak_mb, run.own_peak_mb, run.tracebacks = server.peak_mb, server.own_peak_mb, server.tracebacks
    return run


def measure_forms(folder: Path) -> dict[str, Run]:
    """50 apps that poll one video: alone, then while forms arrive."""
    clip = padded(make_clip(folder / "form.mp4", seconds=10), FORM_BYTES)
    crowd = Crowd("forms", uploads=0, pollers=50, clip=clip, first=clip)
    runs = {"without forms": Run(), "with forms": Run()}
    # A process of their own, which gives way: what phones do takes no processor from a service.
    phones = ProcessPoolExecutor(1, get_context("spawn"), initializer=os.nice, initargs=(10,))
    with phones, Measured("--transcodes", "0") as server:
        video = App(server.url).upload(clip)["id"]
        rush = {name: Rush(crowd, server.url, [video], run) for name, run in runs.items()}
        phones.submit(send_forms, server.url, clip, 0.0).result()  # starts what it needs
        asyncio.run(rush["without forms"].poll_for(FORMS_S))
        forms = phones.submit(send_forms, server.url, clip, FORMS_S)
        asyncio.run(rush["with forms"].poll_for(FORMS_S))
        sent = forms.result()
        runs["with forms"].routes |= sent.routes
        runs["with forms"].lost += sent.lost
    for run in runs.values():
        run.peak_mb, run.own_peak_mb = server.peak_mb, server.own_peak_mb
        run.tracebacks = server.tracebacks
    return runs


def send_forms(url: str, clip: Path, seconds: float) -> Run:
    """Phones that each send one form after another, for a while."""
    run = Run()
    asyncio.run(Rush(Crowd("forms", 0, 0, clip, clip), url, [], run).send_forms_for(seconds))
    return run


def _begin(url: str, clip: Path) -> list[str]:
    """One video for every processor, and each of them at work on it."""
    app = App(url)
    videos = [app.upload(clip)["id"] for _ in range(os.cpu_count() or 1)]
    for video_id in videos:
        status = app.follow(video_id, until=lambda status: status["playable"])
        if not status["playable"]:
            raise NotMeasured(f"{clip.name} is {status['state']}: {status.get('error')}")
    return videos


# ── A crowd ──────────────────────────────────────────────────────────────────────


class Rush:
    """One crowd at one server: what becomes of it goes into ``run``."""

    def __init__(self, crowd: Crowd, url: str, first: Sequence[str], run: Run) -> None:
        self._crowd = crowd
        self._address = urlsplit(url)
        self._run = run
        self._videos = list(first)  # that the apps follow
        self._states: dict[str, str] = {}
        self._uploading = crowd.uploads
        self._body = crowd.clip.read_bytes()
        self._over = asyncio.Event()

    async def until_complete(self) -> None:
        begin = asyncio.get_running_loop().time() + 0.1
        crowd = self._crowd
        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
            self._poll(begin, tasks)
            for route, path in (("metadata", self._in_turn(0, "metadata")), ("health", lambda _: "/health")):
                tasks.create_task(self._every(1 / READS_EACH_S, begin, route, path, tasks))
            for _ in range(crowd.uploads):
                tasks.create_task(self._upload(begin + SETTLE_S))
        self._run.lost += sum(state != "completed" for state in self._states.values())

    async def poll_for(self, seconds: float) -> None:
        """Only the apps that ask for a status."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds + PATIENCE_S), asyncio.TaskGroup() as tasks:
            self._poll(loop.time() + 0.1, tasks)
            loop.call_later(seconds, self._over.set)

    async def send_forms_for(self, seconds: float) -> None:
        """Only the phones that send forms."""
        async with asyncio.timeout(seconds + PATIENCE_S), asyncio.TaskGroup() as tasks:
            for _ in range(FORMS_AT_ONCE):
                tasks.create_task(self._send_forms())
            asyncio.get_running_loop().call_later(seconds, self._over.set)

    def _poll(self, begin: float, tasks: asyncio.TaskGroup) -> None:
        """The apps that ask for a status, evenly apart."""
        for number in range(self._crowd.pollers):
            due = begin + POLL_S * number / self._crowd.pollers
            path = self._in_turn(number, "status")
            tasks.create_task(self._every(POLL_S, due, "status", path, tasks, self._note_state))

    async def _send_forms(self) -> None:
        phone = Phone(self._address)
        kind, form = _form({}, self._body)
        while not self._over.is_set():
            due = asyncio.get_running_loop().time()
            await self._until_taken("form", due, phone, "/upload", kind, form)

    def _in_turn(self, number: int, view: str) -> Callable[[int], str]:
        """The path of the number-th app at its turn-th request: the videos go round."""
        return lambda turn: f"/videos/{self._videos[(number + turn) % len(self._videos)]}/{view}"

    def _note_state(self, answer: "Answer") -> None:
        status = json.loads(answer.body)
        self._states[status["id"]] = status["state"]
        ended = sum(state in FINAL for state in self._states.values())
        if not self._uploading and ended == len(self._videos):
            self._over.set()

    async def _every(
        self,
        period_s: float,
        due: float,
        route: str,
        path: Callable[[int], str],
        tasks: asyncio.TaskGroup,
        on_answer: Callable[["Answer"], None] = lambda _: None,
    ) -> None:
        """An app that asks on a clock, but stays away for as long as it is told to when it is refused."""
        loop = asyncio.get_running_loop()
        phone = Phone(self._address)
        tally = self._run.routes.setdefault(route, Tally())
        stay_away_until = 0.0
        refused_since: float | None = None

        async def ask(due: float, turn: int) -> None:
            nonlocal stay_away_until, refused_since
            self._run.late_ms.append((loop.time() - due) * 1000)
            answer = await self._ask(tally, due, phone.ask("GET", path(turn)))
            if answer and answer.come_back_s:
                stay_away_until = loop.time() + answer.come_back_s
                refused_since = refused_since or due
            elif answer:
                if refused_since:
                    self._run.unanswered_s = max(self._run.unanswered_s, loop.time() - refused_since)
                refused_since = None
                on_answer(answer)

        turn = 0
        while not self._over.is_set():
            await asyncio.sleep(due - loop.time())
            if due >= stay_away_until:
                tasks.create_task(ask(due, turn))
                turn += 1
            due += period_s
        for turn in range(MOST_TRIES):  # who was refused is let in, once told to come back
            if refused_since is None:
                return
            await asyncio.sleep(stay_away_until - loop.time())
            await ask(loop.time(), turn)
        self._run.lost += 1

    async def _upload(self, due: float) -> None:
        """A ticket and the file, as an app sends them, however often it is refused."""
        loop = asyncio.get_running_loop()
        phone = Phone(self._address)
        await asyncio.sleep(due - loop.time())
        self._run.late_ms.append((loop.time() - due) * 1000)
        asked = {"filename": "clip.mp4", "content_type": "video/mp4", "size": len(self._body)}
        kind = {"Content-Type": "application/json"}
        ticket = await self._until_taken("ticket", due, phone, "/upload", kind, [json.dumps(asked).encode()])
        if ticket:
            told = json.loads(ticket.body)
            kind, form = _form(told["upload"]["fields"], self._body)
            path = urlsplit(told["upload"]["url"]).path
            if await self._until_taken("file", loop.time(), phone, path, kind, form):
                self._run.upload_s.append(loop.time() - due)
                self._videos.append(told["id"])
        self._uploading -= 1

    async def _until_taken(
        self, route: str, due: float, phone: "Phone", path: str, headers: dict[str, str], body: list[bytes]
    ) -> "Answer | None":
        tally = self._run.routes.setdefault(route, Tally())
        for _ in range(MOST_TRIES):
            answer = await self._ask(tally, due, phone.ask("POST", path, headers, body))
            if answer is None or not answer.come_back_s:
                break
            await asyncio.sleep(answer.come_back_s)
            due = asyncio.get_running_loop().time()
        if answer is None or answer.come_back_s:
            self._run.lost += 1
            return None
        return answer

    async def _ask(self, tally: Tally, due: float, asking: Coroutine[Any, Any, "Answer"]) -> "Answer | None":
        """The answer, if it is one that an app can go by; None for what is counted as wrong."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await asking
        except (OSError, EOFError) as error:  # a TimeoutError is an OSError
            tally.wrong[type(error).__name__] += 1
            return None
        ms = (asyncio.get_running_loop().time() - due) * 1000
        if answer.come_back_s:
            tally.refused_ms.append(ms)
        elif answer.status < 400:
            tally.answered_ms.append(ms)
        else:
            tally.wrong[str(answer.status)] += 1
            return None
        return answer


# ── A phone ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def come_back_s(self) -> int:
        """After so many seconds, if this is a refusal that says so; else 0."""
        return int(self.headers.get("retry-after", 0)) if self.status in (429, 503) else 0


class Phone:
    """HTTP/1.1 as thin as may be: a client library costs more than the server, on the same processors.

    Connections are kept for as long as the server keeps them. A request does not wait for the one
    before it: it opens another.
    """

    def __init__(self, address: Any) -> None:
        self._address = address
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Sequence[bytes] = ()
    ) -> Answer:
        told = {"Host": self._address.netloc, "Content-Length": str(sum(map(len, body))), **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
        async with self._connection() as (reader, writer):
            answer = asyncio.create_task(_answer(reader))
            try:
                await _send(writer, "\r\n".join([*lines, "", ""]).encode(), body, answer)
                found = await answer
            finally:
                answer.cancel()
            if found.headers.get("connection") != "close" and not reader.at_eof():
                self._idle.append((reader, writer))
            return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                break
            writer.close()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._address.port)
        try:
            yield reader, writer
        finally:
            if (reader, writer) not in self._idle:
                writer.close()


async def _send(
    writer: asyncio.StreamWriter, head: bytes, body: Sequence[bytes], answer: asyncio.Task[Answer]
) -> None:
    """All of it, or as much as it takes until there is an answer: it may be a refusal."""
    writer.write(head)
    for piece in body:
        for start in range(0, len(piece), PIECE_BYTES):
            if answer.done():
                return
            writer.write(memoryview(piece)[start : start + PIECE_BYTES])
            with suppress(ConnectionError):  # the answer tells why, or there is none
                await writer.drain()


async def _answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split()[1]), headers, body)


def _form(fields: dict[str, str], file: bytes) -> tuple[dict[str, str], list[bytes]]:
    head = "".join(
        f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += '--frontier\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=frontier"}
    return kind, [head.encode(), file, b"\r\n--frontier--\r\n"]


# ── Budgets and tables ───────────────────────────────────────────────────────────


def budgets_of(runs: dict[str, list[Run]]) -> list[Budget]:
    """``runs`` may lack those beyond what was asked for, and those with and without forms."""
    asked = runs["asked for"]
    forms = zip(runs.get("without forms", []), runs.get("with forms", []), strict=True)
    slower_by = [_p99(run, "status") / _p99(alone, "status") for alone, run in forms]
    every = [run for crowd in runs.values() for run in crowd]
    return [
        Budget(
            "12 uploads of 6 MB at once, the slowest", 3, "s", [share_of(run.upload_s, 1) for run in asked]
        ),
        *(
            Budget(f"p99 of {name}, 50 apps polling", 100, "ms", [_p99(run, name) for run in asked])
            for name in ROUTES
        ),
        *(
            [Budget("p99 of status while forms arrive, to that without", 2, "×", slower_by)]
            if slower_by
            else []
        ),
        Budget("refusals, of what was asked for", 0, "", [run.refused for run in asked], max),
        Budget("wrong answers, broken connections", 0, "", [run.wrong.total() for run in every], max),
        Budget("lost", 0, "", [run.lost for run in every], max),
        Budget("tracebacks in the log", 0, "", [run.tracebacks for run in every], max),
        Budget("memory of any process, at most", 350, "MB", [run.peak_mb for run in every], max),
    ]


def _p99(run: Run, route: str) -> float:
    return share_of(run.routes[route].answered_ms, 0.99)


def _show(runs: dict[str, list[Run]], budgets: list[Budget]) -> None:
    rounds = len(next(iter(runs.values())))
    screen.print(f"\n{rounds} rounds, {os.cpu_count()} processors. Medians (least – most).\n")
    for name, each in runs.items():
        _show_crowd(name, each)
    screen.print(budgets_table(budgets))


def _show_crowd(name: str, runs: list[Run]) -> None:
    table = new_table(name, "ms", "answered", "p50", "p95", "p99", "slowest", "refused", "wrong")
    for route in runs[0].routes:
        tallies = [run.routes[route] for run in runs]
        shares = [[share_of(t.answered_ms, share) for t in tallies] for share in (0.5, 0.95, 0.99, 1)]
        counts = [
            statistics.median(map(len, figures))
            for figures in ([t.answered_ms for t in tallies], [t.refused_ms for t in tallies])
        ]
        wrong = sum((t.wrong for t in tallies), Counter())
        table.add_row(
            route,
            f"{counts[0]:g}",
            *map(spread, shares),
            f"{counts[1]:g}",
            ", ".join(f"{number} {kind}" for kind, number in wrong.items()) or "0",
        )
    screen.print(table)
    late_ms = [share_of(run.late_ms, 0.99) for run in runs]
    for what, figures in {
        "slowest upload, s": [max(run.upload_s, default=0) for run in runs],
        "all complete after, s": [run.wall_s for run in runs],
        "longest an app was put off, s": [run.unanswered_s for run in runs],
        "memory of the server, MB": [run.own_peak_mb for run in runs],
        "memory of the largest process, MB": [run.peak_mb for run in runs],
        "our own lateness, p99, ms": late_ms,
    }.items():
        screen.print(f"{what}: {spread(figures)}")
    screen.print()


def _as_json(runs: dict[str, list[Run]], budgets: list[Budget]) -> dict[str, Any]:
    return {
        "processors": os.cpu_count(),
        "runs": msgspec.to_builtins(runs),
        "budgets": [
            {"what": b.what, "limit": b.limit, "unit": b.unit, "found": b.found, "holds": b.holds}
            for b in budgets
        ],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Let a crowd come to TikToken.")
    parser.add_argument("--rounds", type=int, default=3, help="of both crowds (default 3)")
    return parsed(parser)


if __name__ == "__main__":
    run_program(main)
