"""Real answers of the handlers, as examples in the document: recorded once, kept in openapi_examples.json.

They hold what differs from run to run (ids, times, signatures), so the document is made of the kept ones.
"""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl

from dev.clips import make_clip
from local_aws.events import api_event, invoke, s3_event, sqs_event, stream_event
from videos import wiring
from videos.errors import QuotaExceeded
from videos.ports import Job
from videos.steps.read_video import delete_video
from videos.stores.local.announcements import SqliteAnnouncements
from videos.stores.local.records import SqliteVideos
from videos.web import api

KEPT = Path(__file__).parent / "openapi_examples.json"
BASE_URL = "https://api.example.com/v1"
UPLOAD = {
    "filename": "IMG_0042.MOV",
    "content_type": "video/quicktime",
    "size": 5242880,
    "external_id": "draft-7",
}
PARAMS = (
    "filename=IMG_0042.MOV&type=video/quicktime&metadata[name]=IMG_0042.MOV&metadata[external_id]=draft-7"
)
PREFLIGHT = {"size": 9000000, "duration_ms": 75000, "width": 720, "height": 1280, "codec": "avc1.640028"}
TO_FIX = {"size": 48000000, "duration": 20, "width": 1080, "height": 1920, "fps": 60, "on_violation": "fix"}
Examples = dict[str, dict[str, Any]]  # by operation id and "request", or the status and what it is about


def kept() -> Examples:
    examples: Examples = json.loads(KEPT.read_text())
    return examples


def record() -> Examples:
    """Take a clip through the local handlers, and note what they answer."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"STORAGE_MODE": "local", "LOCAL_FOLDER": f"{folder}/data", "PUBLIC_URL": BASE_URL}
        with patch.dict("os.environ", settings):
            return _answers(Path(folder))


def _answers(folder: Path) -> Examples:
    wiring.service.cache_clear()
    wiring.http_settings.cache_clear()
    service = wiring.service()
    good = make_clip(folder / "good.mp4", seconds=3)
    bad = make_clip(folder / "bad.mp4", seconds=1, size="1920x1080")

    def ticket(**wanted: Any) -> dict[str, Any]:
        answer: dict[str, Any] = call("POST", "/upload", UPLOAD | wanted)
        return answer

    def checked(clip: Path, **wanted: Any) -> str:
        video_id: str = ticket(**wanted)["id"]
        service.storage.save(clip, f"uploads/{video_id}", content_type="video/quicktime")
        invoke("check_upload", s3_event(f"uploads/{video_id}", size_bytes=1, etag="e"), 60)
        return video_id

    waiting, rejected, done = ticket(), checked(bad), checked(good)
    to_be_fixed = checked(bad, on_violation="fix")
    queued = call("GET", f"/videos/{done}/status")
    invoke("transcode_video", sqs_event(Job(video_id=done, receipt="r", receives=1)), 300)
    keyed = {"idempotency-key": "0b0d8f3e"}
    call("POST", "/upload", UPLOAD, keyed)
    quota = {"uploads": {"limit": 20, "used": 20}, "bytes": {"limit": 0, "used": 125829120}}
    exceeded = QuotaExceeded(quota, resets_at=service.now(), retry_after_s=60)
    assert isinstance(service.videos, SqliteVideos)
    assert isinstance(service.announcements, SqliteAnnouncements)
    delete_video(ticket()["id"], service)
    invoke("publish_changes", stream_event(service.videos.outbox(limit=1000)), 60)  # health tells of it
    events = [json.loads(told.body) for told in service.announcements.after(0, owner="", limit=1000)]
    by_type = {event["type"]: {"request": event} for event in events}
    return {
        "videoPlayable": by_type["video.playable"],
        "videoCompleted": by_type["video.completed"],
        "videoRejected": by_type["video.rejected"],
        "videoDeleted": by_type["video.deleted"],
        "requestUpload": {
            "request": UPLOAD,
            "201 a ticket for a form": waiting,
            "201 a ticket for PUT": ticket(method="PUT"),
            "400 a misspelt field": call("POST", "/upload", UPLOAD | {"postertime": 1}),
            "409 a key of another body": call("POST", "/upload", UPLOAD | {"size": 1}, keyed),
            "415 a picture": ticket(content_type="image/jpeg"),
            "422 too large": ticket(size=9000000),
            "429 no quota left": api.answer(exceeded)[1],
        },
        "requestParams": {
            "200 a ticket": call("GET", f"/s3/params?{PARAMS}"),
            "422 too large": call("GET", f"/s3/params?{PARAMS}&size=9000000"),
        },
        "preflight": {
            "request": PREFLIGHT,
            "200 too long": call("POST", "/preflight", PREFLIGHT),
            "200 to be fixed": call("POST", "/preflight", TO_FIX),
        },
        "listVideos": {"200 a page": call("GET", "/videos?limit=2")},
        "getVideo": {"200 completed": call("GET", f"/videos/{done}")},
        "getMetadata": {"200 rejected": call("GET", f"/videos/{rejected}/metadata")},
        "getStatus": {
            "200 awaiting_upload": call("GET", f"/videos/{waiting['id']}/status"),
            "200 queued": queued,
            "200 queued to be fixed": call("GET", f"/videos/{to_be_fixed}/status"),
            "200 completed": call("GET", f"/videos/{done}/status"),
            "200 rejected": call("GET", f"/videos/{rejected}/status"),
            "404 unknown": call("GET", "/videos/0192d3a4-5b6c-7d8e-9f01-23456789abcd/status"),
        },
        "getFile": {"409 not yet": call("GET", f"/videos/{waiting['id']}/video.mp4")},
        "checkHealth": {"200 ok": call("GET", "/health")},
    }


def call(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """The JSON that a handler answers."""
    path, _, query = path.partition("?")
    functions = {"/upload": "request_upload", "/preflight": "request_upload", "/s3/params": "request_upload"}
    function = {**functions, "/health": "check_health"}.get(path, "read_video")
    event = api_event(
        method,
        path,
        path,
        {},
        json.dumps(body).encode() if body else b"",
        headers={"content-type": "application/json", **(headers or {})}.items(),
        query=parse_qsl(query),
    )
    return json.loads(invoke(function, event, 60)["body"])
