"""Serves a folder over HTTP, with byte ranges, at a limited rate that all responses share."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from threading import Lock, Thread

CHUNK_BYTES = 4096


class SlowLink:
    """A link that carries one byte after another."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s, self._lock, self._free_at = bytes_per_s, Lock(), 0.0

    def carry(self, size_bytes: int) -> None:
        """Return when these bytes have passed, after all that came before them."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size_bytes / self._bytes_per_s
            wait_s = self._free_at - time.monotonic()
        time.sleep(max(0.0, wait_s))


@contextmanager
def served_slowly(folder: Path, bytes_per_s: int) -> Iterator[str]:
    """Serve the files in ``folder``; the address of the server."""
    link = SlowLink(bytes_per_s)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            data = (folder / Path(self.path).name).read_bytes()
            begin, end = 0, len(data)
            part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if part:
                begin, end = int(part[1]), int(part[2] or len(data) - 1) + 1
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
            else:
                self.send_response(HTTPStatus.OK)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", guess_type(self.path)[0] or "")
            self.send_header("Content-Length", str(end - begin))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self._send(data[begin:end])

        def _send(self, data: bytes) -> None:
            try:
                for at in range(0, len(data), CHUNK_BYTES):
                    chunk = data[at : at + CHUNK_BYTES]
                    link.carry(len(chunk))
                    self.wfile.write(chunk)
            except ConnectionError:  # the player asks for another part
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
