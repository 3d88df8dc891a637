"""An app, as a phone or a web page would be one: ask for a ticket, send the clip, follow it."""

import mimetypes
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx


class App:
    """Speaks only what docs/api.md documents: the public HTTP interface."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.Client(base_url=base_url, timeout=30)
        weakref.finalize(self, self.http.close)  # with the app go its connections
        self._last: dict[str, tuple[str, dict[str, Any]]] = {}  # ETag and status, by video

    def ticket(self, clip: Path, **wanted: Any) -> dict[str, Any]:
        """Register ``clip``; raises httpx.HTTPStatusError if it is refused before it is sent."""
        content_type = mimetypes.guess_type(clip.name)[0] or "video/mp4"
        request = {"filename": clip.name, "content_type": content_type, "size": clip.stat().st_size}
        ticket: dict[str, Any] = self.http.post("/upload", json=request | wanted).raise_for_status().json()
        return ticket

    def send(self, ticket: dict[str, Any], clip: Path) -> httpx.Response:
        """Send the bytes straight to storage, as the ticket says."""
        return send(ticket["upload"], clip.read_bytes())

    def upload(self, clip: Path, **wanted: Any) -> dict[str, Any]:
        """Ticket and bytes; the ticket is returned."""
        ticket = self.ticket(clip, **wanted)
        answer = self.send(ticket, clip)
        if answer.status_code != httpx.codes.PRECONDITION_FAILED:  # the file is there already
            answer.raise_for_status()
        return ticket

    def status(self, video_id: str) -> dict[str, Any]:
        """The status; if it has not changed, the last one with the hint of the new answer."""
        etag, last = self._last.get(video_id, ("", {}))
        answer = self.http.get(f"/videos/{video_id}/status", headers={"If-None-Match": etag} if etag else {})
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            retry_after_s = answer.headers.get("Retry-After")
            return {**last, "retry_after_ms": int(retry_after_s) * 1000 if retry_after_s else None}
        status: dict[str, Any] = answer.raise_for_status().json()
        self._last[video_id] = answer.headers["ETag"], status
        return status

    def metadata(self, video_id: str) -> dict[str, Any]:
        metadata: dict[str, Any] = self.http.get(f"/videos/{video_id}/metadata").raise_for_status().json()
        return metadata

    def follow(
        self,
        video_id: str,
        *,
        until: Callable[[dict[str, Any]], bool] = lambda _: False,
        on_status: Callable[[dict[str, Any]], None] = lambda _: None,
        timeout_s: float = 120,
    ) -> dict[str, Any]:
        """Poll the status as it asks to be polled, until the video is finished or ``until`` holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status(video_id)
            on_status(status)
            if status["retry_after_ms"] is None or until(status):
                return status
            if time.monotonic() > deadline:
                raise TimeoutError(f"{video_id} is still {status['state']} at {status['progress']} %")
            time.sleep(status["retry_after_ms"] / 1000)


def send(upload: dict[str, Any], body: bytes) -> httpx.Response:
    """Use an upload ticket as it says: a form whose last field is the file, or the raw bytes."""
    if upload["method"] == "PUT":
        return httpx.put(upload["url"], content=body, headers=upload["headers"], timeout=30)
    return httpx.post(upload["url"], data=upload["fields"], files={"file": body}, timeout=30)
