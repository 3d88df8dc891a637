"""The API as an app calls it, and the handlers behind it as S3 and SQS call them."""

import json
from pathlib import Path

import check_upload
import transcode_video
from videos import wiring

NOBODY = "0192d3a4-5b6c-7d8e-9f01-23456789abcd"


class Context:
    """What Powertools reads of a Lambda context."""

    function_name = "test"
    function_version = "$LATEST"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:test"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def ask(call, **wanted):
    request = {"filename": "cat.mp4", "content_type": "video/mp4", "size": 1_000_000} | wanted
    return call("POST", "/upload", json.dumps(request), Content_Type="application/json")


def form(
    clip: Path, *, name: str = "cat.mp4", kind: str = "video/mp4", field: str = "file"
) -> tuple[bytes, str]:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
    head += f"Content-Type: {kind}\r\n\r\n"
    return head.encode() + clip.read_bytes() + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"


def uploaded(call, clip: Path) -> str:
    """The id of a video whose file is in storage, with no event fired yet."""
    _, ticket, _ = ask(call)
    wiring.service().storage.save(clip, f"uploads/{ticket['id']}", content_type="video/mp4")
    return ticket["id"]


def checked(call, event, clip: Path) -> str:
    video_id = uploaded(call, clip)
    check_upload.handler(about(event("check_upload"), video_id), Context())
    return video_id


def completed(call, event, clip: Path) -> str:
    video_id = checked(call, event, clip)
    assert transcode_video.handler(about(event("transcode_video"), video_id), Context()) == {
        "batchItemFailures": []
    }
    return video_id


def about(event: dict, video_id: str) -> dict:
    return json.loads(json.dumps(event).replace(NOBODY, video_id))
