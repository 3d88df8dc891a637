"""An app in the standard library alone: ask for a ticket, send the clip, follow it. For the demo.

The tests' app, with connections that stay open and with ETags, is in ``dev.client``.
"""

import json
import mimetypes
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

TIMEOUT_S = 30
_OPENER = build_opener(ProxyHandler({}))  # the service is on this machine


class Refused(Exception):
    """The service or its storage answers with an error; ``answer`` has ``error`` and ``suggestions``."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer.get("error", ""))
        self.answer = answer


class App:
    """Speaks only what docs/api.md documents: the public HTTP interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def answers(self) -> bool:
        """Whether a service is there, in whatever health."""
        try:
            health = self._json("GET", "/health")
        except Refused as degraded:
            health = degraded.answer
        except (OSError, HTTPException, ValueError):  # nothing is there, or something else
            return False
        return "stability" in health

    def upload(self, clip: Path) -> dict[str, Any]:
        """A ticket, and the bytes straight to storage; the ticket is returned. Raises Refused."""
        content_type = mimetypes.guess_type(clip.name)[0] or "video/mp4"
        wanted = {"filename": clip.name, "content_type": content_type, "size": clip.stat().st_size}
        ticket = self._json(
            "POST", "/upload", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
        )
        upload = ticket["upload"]
        body, form_type = _form(upload["fields"], clip.read_bytes())
        _answer(upload["method"], upload["url"], body, {"Content-Type": form_type})
        return ticket

    def follow(self, video_id: str, *, on_status: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Poll the status as it asks to be polled, until the video is finished."""
        while True:
            status = self._json("GET", f"/videos/{video_id}/status")
            on_status(status)
            if status["retry_after_ms"] is None:
                return status
            time.sleep(status["retry_after_ms"] / 1000)

    def metadata(self, video_id: str) -> dict[str, Any]:
        return self._json("GET", f"/videos/{video_id}/metadata")

    def _json(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(_answer(method, self.url + path, body, headers))
        return answer


def _answer(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """The body of an answer. Raises Refused, or OSError if there is none."""
    request = Request(url, body, dict(headers), method=method)  # noqa: S310  the service's own URLs
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            read: bytes = answer.read()
            return read
    except HTTPError as error:
        raise Refused(_refusal(error.read().decode(errors="replace"))) from None


def _refusal(text: str) -> dict[str, Any]:
    """What the API said, or what storage said in S3's XML."""
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"error": f"Storage refused the upload: {text}", "suggestions": []}
    return answer


def _form(fields: Mapping[str, str], file: bytes) -> tuple[bytes, str]:
    """A multipart form whose last field is the file, and its content type."""
    boundary = uuid4().hex
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
