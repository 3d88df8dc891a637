"""HTTP byte by byte over a real socket, where a client library would not send it."""

import json
import socket
from xml.etree import ElementTree

from dev.server import Server

PATIENCE_S = 10  # of these tests: what is bounded ends long before


class Answer:
    """What came back over a socket, until it was closed."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1]) if raw else 0
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """S3's or ours, of a refusal in the usual shape."""
        if self.headers["content-type"] == "application/xml":
            return ElementTree.fromstring(self.body).findtext("Code")  # noqa: S314  our own
        assert {"error", "suggestions", "code"} <= self.json.keys()
        assert self.headers["cache-control"] == "no-store"
        return self.json["code"]


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def read(sock: socket.socket) -> bytes:
    raw = b""
    try:
        while piece := sock.recv(65536):
            raw += piece
    except ConnectionResetError:
        pass
    return raw


def request(line: str, body: bytes = b"", **headers: str) -> bytes:
    told = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body))}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def part(head: bytes, body: bytes = b"x") -> bytes:
    return b"--b\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + body + b"\r\n"
