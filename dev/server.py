"""The local server as a process of its own: started, awaited, killed and stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

LOCAL_SERVER = Path(__file__).parent.parent / "functions" / "local_server.py"


class Server:
    """``with Server(folder) as server: … server.url``; on port 0, a free one is chosen.

    ``program`` is what Python runs instead of the server as it is.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        options: tuple[str, ...] = (),
        program: tuple[str | Path, ...] = (LOCAL_SERVER,),
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://localhost:{self.port}"
        self.data = data
        self.log = data / "server.log"
        self._options = options
        self._program = program

    def start(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            *self._program,
            "--port",
            str(self.port),
            "--data",
            self.data,
            *self._options,
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        try:
            self._await_answer()
        except BaseException:  # Ctrl-C, too, leaves nothing behind
            self.kill()
            raise
        return self

    def stop(self) -> int:
        """Ask it to stop, as Ctrl-C does; its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)

    def wait(self) -> None:
        """Wait until somebody stops it, or this process: Ctrl-C in a terminal reaches both."""
        with suppress(KeyboardInterrupt):
            self.process.wait()

    def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        self.process.wait()

    def children(self, name: str) -> list[int]:
        """Ids of the processes it has started whose program is called so."""
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,comm="], check=True, capture_output=True, text=True
        )
        rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        return [int(pid) for pid, parent, comm in rows if int(parent) == self.process.pid and name in comm]

    def _await_answer(self) -> None:
        deadline = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                last_words = self.log.read_text(errors="replace")[-2000:]
                raise subprocess.SubprocessError(f"the service did not start:\n{last_words}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = HTTPConnection("localhost", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
