"""A client of /events that reads server-sent events as their specification says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Frame:
    """One block of a stream; a heartbeat has the name "comment"."""

    name: str
    last_id: str
    data: Any = None


class Listener:
    """``first`` is the frame that every stream begins with."""

    def __init__(self, answer: httpx.Response) -> None:
        self._frames = _frames(answer.iter_lines())
        self.first = next(self._frames)

    def next(self, name: str = "message") -> Frame:
        """The next frame of this name; what comes before it is left out."""
        return next(frame for frame in self._frames if frame.name == name)

    def events(self, number: int) -> list[Any]:
        return [self.next().data for _ in range(number)]


@contextmanager
def listening(url: str, last_id: str = "", token: str = "") -> Iterator[Listener]:
    headers = {"Last-Event-ID": last_id, "Authorization": f"Bearer {token}" if token else ""}
    sent = {name: value for name, value in headers.items() if value}
    with httpx.stream("GET", f"{url}/events", headers=sent, timeout=30) as answer:
        if answer.status_code != 200:
            answer.read()
        answer.raise_for_status()
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        yield Listener(answer)


def _frames(lines: Iterator[str]) -> Iterator[Frame]:
    last_id, fields = "", {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and not name:
            fields["comment"] = value
        elif line:
            fields[name] = value.removeprefix(" ")
        else:
            last_id = fields.get("id", last_id)
            data = json.loads(fields["data"]) if "data" in fields else None
            kind = "comment" if "comment" in fields else "message" if "data" in fields else "nothing"
            yield Frame(fields.get("event", kind), last_id, data)
            fields = {}
