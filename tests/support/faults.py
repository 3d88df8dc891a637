"""Faults on demand, before or after any call that a worker makes of a port or a media tool.

A ``Worker`` is one process at work: a service whose every call has a name and goes through a
fault. One that is killed makes no call ever after, so no ``finally`` of ours can do what a
process that got SIGKILL would not have done. Killed before a call is killed after the one
before it: the tests do the latter.
"""

import errno
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from videos import tools
from videos.errors import BadMedia, Unavailable
from videos.service import Service

Work = Callable[[], Any]
Fault = Callable[[str, Work], Any]
RUN = tools.run
# How an encode goes: so many seconds after the last report, so much of the frames is done. In the second one
# it is held up.
ENCODE = ((2, 1 / 3), (20, 1 / 3), (2, 2 / 3), (2, 1))


class Killed(BaseException):
    """SIGKILL, at this very point. Nothing in the product catches it."""


def none(_: str, work: Work) -> Any:
    return work()


def after(call: str, happens: Callable[[], None]) -> Fault:
    """The work is done; what ``happens`` keeps the answer from the worker. Once only."""

    def fault(_: str, work: Work) -> Any:
        try:
            return work()
        finally:
            happens()

    return once(fault, call)


def before(call: str, happens: Callable[[], None]) -> Fault:
    def fault(_: str, work: Work) -> Any:
        happens()
        return work()

    return once(fault, call)


def once(fault: Fault, call: str) -> Fault:
    left = [call]

    def only_once(name: str, work: Work) -> Any:
        if name not in left:
            return work()
        left.remove(name)
        return fault(name, work)

    return only_once


def die() -> None:
    raise Killed


def break_off() -> None:
    raise Unavailable("It does not answer.")


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class Worker:
    """``with Worker(service, fault).at_work() as service: …``; ``calls`` says what it did, in order.

    ``wait`` lets so many seconds pass on the worker's clock.
    """

    def __init__(
        self, service: Service, fault: Fault = none, *, wait: Callable[[float], None] = lambda _: None
    ) -> None:
        self.calls: list[str] = []
        self.wait = wait
        self._fault = fault
        self._seen: Counter[str] = Counter()
        self.killed = False
        self.service = replace(
            service,
            storage=_Port(self, "file", service.storage),
            videos=_Port(self, "record", service.videos),
            jobs=_Port(self, "job", service.jobs),
            announcements=_Port(self, "event", service.announcements),
            deliveries=_Port(self, "webhook", service.deliveries),
        )

    def call(self, name: str, work: Work) -> Any:
        if self.killed:
            raise Killed
        self._seen[name] += 1
        name = name if self._seen[name] == 1 else f"{name} ({self._seen[name]})"
        self.calls.append(name)
        try:
            return self._fault(name, work)
        except Killed:
            self.killed = True
            raise

    @contextmanager
    def at_work(self) -> Iterator[Service]:
        """The media tools that this thread runs are run by this worker, until it is done or killed."""
        before, _here.worker = getattr(_here, "worker", None), self
        try:
            yield self.service
        except Killed:
            pass
        finally:
            _here.worker = before


_here = threading.local()


def service_here() -> Service:
    """What ``wiring.service`` is for the handlers: that of the worker in this thread."""
    service: Service = _here.worker.service
    return service


def by_worker(name: str, work: Work) -> Any:
    """A call of the worker in this thread."""
    return _here.worker.call(name, work)


class _Port:
    """A port whose calls are made by a worker."""

    def __init__(self, worker: Worker, kind: str, port: Any) -> None:
        self._worker = worker
        self._kind = kind
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*values: Any, **named: Any) -> Any:
            def work() -> Any:
                answer = method(*values, **named)
                return list(answer) if name == "keys" else answer

            return self._worker.call(_words(self._kind, name, values), work)

        return call


def _words(kind: str, name: str, values: tuple[Any, ...]) -> str:
    if name == "save":
        return f"save {Path(values[1]).name}"
    if name == "update":
        return f"write {values[0].state} {values[0].progress}%"
    return f"{name} {kind}"


@dataclass(frozen=True)
class _Tape:
    """What one run of a media tool left: files, output, ``-progress`` lines, and last words if it failed.

    ``complaints`` are the lines of its standard error.
    """

    written: dict[str, bytes]
    printed: str
    lines: list[str]
    complaints: list[str]
    refusal: str

    def reports(self) -> Iterator[tuple[int, list[str]]]:
        """The lines of each report in ``ENCODE``, and how many seconds after the one before it comes.

        ffmpeg reports every half a second, so how often depends on the machine. Its last report comes
        always: the others are that one, at fewer frames.
        """
        start = max((at for at, line in enumerate(self.lines) if line.startswith("frame=")), default=0)
        last = dict(line.split("=", 1) for line in self.lines[start:])
        for after_s, share in ENCODE if last else ():
            so_far = {"frame": str(int(int(last["frame"]) * share))}
            if share < 1:
                so_far["progress"] = "continue"
            yield after_s, [f"{name}={value}" for name, value in (last | so_far).items()]


class Recorded:
    """The media tools, each command really run once: what it wrote and printed is played again after.

    Progress is always the same, whatever the machine.
    """

    def __init__(self) -> None:
        self._tapes: dict[tuple[object, ...], _Tape] = {}
        self._one_at_a_time = threading.RLock()

    def run(
        self,
        command: list[str],
        *,
        timeout_s: float,
        on_line: Any = None,
        on_complaint: Any = None,
        **limits: Any,
    ) -> str:
        source = next((Path(word) for word in command if Path(word).name == "source"), None)
        if source is None:
            return RUN(command, timeout_s=timeout_s, on_line=on_line, on_complaint=on_complaint, **limits)
        worker = getattr(_here, "worker", None)

        def played() -> str:
            tape = self._tape(command, source, listens=on_line is not None)
            for after_s, lines in tape.reports():
                if worker:
                    worker.wait(after_s)
                for line in lines:
                    on_line(line)
            for line in tape.complaints if on_complaint else ():
                on_complaint(line)
            for name, data in tape.written.items():
                (source.parent / name).write_bytes(data)
            if tape.refusal:
                raise BadMedia(tape.refusal)
            return tape.printed

        return worker.call(_tool(command), played) if worker else played()

    def _tape(self, command: list[str], source: Path, *, listens: bool) -> _Tape:
        words = tuple(word.replace(str(source.parent), "") for word in command)
        key = (words, hashlib.sha256(source.read_bytes()).digest())
        with self._one_at_a_time:
            if key not in self._tapes:
                self._tapes[key] = _recorded(command, source, listens=listens)
            return self._tapes[key]


def _recorded(command: list[str], source: Path, *, listens: bool) -> _Tape:
    printed = refusal = ""
    lines: list[str] = []
    complaints: list[str] = []
    found = _files(source.parent)
    try:
        printed = RUN(
            command,
            timeout_s=60,
            memory_bytes=4 * tools.GIB,
            on_line=lines.append if listens else None,
            on_complaint=complaints.append,
        )
    except BadMedia as error:
        refusal = str(error)
    # Another tool, or what works on its file, may write beside this one: its own files are in its command.
    written = {
        path
        for path, state in _files(source.parent).items()
        if found.get(path) != state and str(path) in command
    }
    return _Tape(
        {path.relative_to(source.parent).as_posix(): path.read_bytes() for path in written},
        printed,
        lines,
        complaints,
        refusal,
    )


def _files(folder: Path) -> dict[Path, tuple[int, int]]:
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def _tool(command: list[str]) -> str:
    name = Path(command[0]).name.partition("-")[0]
    return name if "ffprobe" in name else f"{name} {'encoding' if 'libx264' in command else 'copying'}"
