"""The backend of an app, as a real HTTP server that may behave badly."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Call:
    """One POST that arrived whole."""

    path: str
    headers: dict[str, str]
    body: bytes


# What the receiver does about a call: it returns a status, or writes to the socket itself and returns None.
Behaviour = Callable[[Call, socket.socket], int | None]


class Receiver:
    """``with Receiver() as receiver: … receiver.url``; ``calls`` has what arrived whole.

    ``certificate`` is a file with a certificate and its key, for TLS.
    """

    def __init__(
        self,
        behave: Behaviour = lambda *_: 204,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        self.behave = behave
        self.calls: list[Call] = []
        self.connections = 0
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.answer(self, Call(self.path, headers, body))

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def get_request(self) -> tuple[socket.socket, Any]:
                receiver.connections += 1
                return super().get_request()

            def handle_error(self, *_: Any) -> None:
                """Callers may leave, and we cut them off."""

        self._server = Server((host, port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if certificate else ''}://localhost:{self.port}/hooks"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def answer(self, request: BaseHTTPRequestHandler, call: Call) -> None:
        self.calls.append(call)
        status = self.behave(call, request.connection)
        if status is None:
            request.close_connection = True
            return
        with suppress(OSError):
            request.send_response(status)
            request.send_header("Content-Length", "0")
            request.end_headers()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


def says(raw: bytes) -> Behaviour:
    """Answers with these bytes, and closes the connection."""

    def behave(_: Call, sock: socket.socket) -> None:
        sock.sendall(raw)

    return behave
