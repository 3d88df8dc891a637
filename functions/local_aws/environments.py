"""Lambda's execution environments: each has a handler's module of its own and handles one event at a time."""

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec, module_from_spec
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol

from local_aws.events import Context
from local_aws.lines import show_lines

NICENESS = 10  # of processes and their media tools: other answers come first, transcodes later
MakeEvent = Callable[[bytes | bytearray], dict[str, Any]]  # of the body of a request


class Environment(Protocol):
    def invoke(self, make_event: MakeEvent, body: bytes | bytearray, timeout_s: float) -> Any:
        """The handler's answer to an event."""


class Function:
    """A Lambda function: it handles as many events at once as it has environments."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self._idle = deque(environments)  # a thread each, so a thread always finds one
        self._threads = ThreadPoolExecutor(len(environments))

    async def invoke(self, make_event: MakeEvent, body: bytes | bytearray, timeout_s: float) -> Any:
        """The handler's answer to an event, in a thread; waits while no environment is idle."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._invoke, make_event, body, timeout_s)

    def _invoke(self, make_event: MakeEvent, body: bytes | bytearray, timeout_s: float) -> Any:
        environment = self._idle.pop()
        try:
            return environment.invoke(make_event, body, timeout_s)
        finally:
            self._idle.append(environment)


class InThread:
    """Runs the handler in the thread of the caller.

    The handler's module is a copy, so that what it creates at import, such as its resolver, serves one
    event at a time, as on AWS. All environments share the modules of ``videos``.
    """

    def __init__(self, name: str) -> None:
        """Raises SystemExit if a setting is missing or invalid."""
        self._name = name
        spec = find_spec(name)
        assert spec
        assert spec.loader
        self._module = module_from_spec(spec)
        spec.loader.exec_module(self._module)

    def invoke(self, make_event: MakeEvent, body: bytes | bytearray, timeout_s: float) -> Any:
        return self._module.handler(make_event(body), Context(self._name, timeout_s))


class InProcess:
    """Runs the handler in a process of its own, which starts with the first event and ends with ours.

    For events that take long to decode: in a thread, they would keep the interpreter from other events.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._connection: Connection | None = None

    def invoke(self, make_event: MakeEvent, body: bytes | bytearray, timeout_s: float) -> Any:
        """Raises EOFError or OSError if the process has ended; the next event starts another."""
        connection = self._connection or self._start()
        self._connection = None
        connection.send((make_event, timeout_s))
        connection.send_bytes(body)  # as it is: pickling 4 MB would keep the interpreter for 3 ms
        answer = connection.recv()
        self._connection = connection
        return answer

    def _start(self) -> Connection:
        context = get_context("spawn")  # a fork would inherit locks that our other threads hold
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(self._name, theirs), daemon=True).start()
        theirs.close()  # otherwise the connection would outlive the process
        return ours


def _serve(name: str, connection: Connection) -> None:
    """Handle events until the other process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too; the other ends it
    show_lines(sys.stderr)
    environment = InThread(name)
    os.nice(NICENESS)
    with suppress(EOFError, BrokenPipeError):
        while True:
            make_event, timeout_s = connection.recv()
            connection.send(environment.invoke(make_event, connection.recv_bytes(), timeout_s))
