"""Register a video and issue its upload ticket, or receive the file itself."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Literal

import uuid6

from videos.checking import rules
from videos.errors import BadRequest, LostRace, Rejected, UnreadableBody
from videos.model import Video
from videos.ports import Ticket
from videos.quota import UNLIMITED, Charge
from videos.service import Service
from videos.telemetry import logs

CONTENT_TYPES = ("video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp")
MAX_FILENAME_CHARS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What an app declares about a file before it uploads it.

    Attributes:
        size: in bytes, as reported by the phone's picker. Often slightly wrong, so it is
            signed only if ``exact_size`` is set.
        method: with POST, storage enforces the size; PUT is for uploaders that send a raw body.
        poster_time: the time in the clip that its poster shows, in seconds.
    """

    filename: str
    content_type: str
    size: int
    method: Literal["POST", "PUT"] = "POST"
    exact_size: bool = False
    poster_time: float = 0.0


def request_upload(request: UploadRequest, service: Service, owner: str = "") -> tuple[Video, Ticket]:
    """Register a video and issue the ticket to upload it.

    Raises:
        BadRequest: ``exact_size`` without PUT, or a poster time out of range.
        UnreadableBody: the content type is not supported.
        Rejected: the declared size breaks the spec.
        QuotaExceeded: the owner has used up today's quota.
    """
    if violations := rules.check_size(request.size, service.spec):
        raise Rejected(violations)
    if request.exact_size and request.method != "PUT":
        raise BadRequest(
            "exact_size requires method PUT.",
            suggestions=["Omit exact_size: a POST ticket accepts any size up to the limit."],
        )
    video = _new_video(request.filename, request.content_type, service, request.poster_time, owner)
    ticket = service.storage.upload_ticket(
        video.inbox_key,
        method=request.method,
        content_type=video.content_type,
        max_bytes=service.spec.max_bytes,
        exact_bytes=request.size if request.exact_size else None,
        expires_at=video.upload_expires_at,
    )
    # What the ticket allows, not what was declared: a client that declares 1 byte may upload the maximum.
    charged_bytes = request.size if request.exact_size else service.spec.max_bytes
    return _register(video, charged_bytes, service), ticket


def receive_file(
    filename: str,
    content_type: str,
    file: Path,
    service: Service,
    *,
    poster_time: float = 0.0,
    owner: str = "",
) -> Video:
    """Store a file received in the request itself, and check it immediately: it is playable, or rejected.

    Raises:
        UnreadableBody: the content type is not supported.
        Rejected: the file breaks the spec.
        QuotaExceeded: the owner has used up today's quota.
        ToolFailed: the check failed; ``recover_videos`` has it repeated.
    """
    # Deferred: a ticket needs nothing of what checks and copies a file, which takes 20 ms of CPU to import.
    from videos.steps.attempts import new_name
    from videos.steps.check_upload import check_file

    video = _new_video(filename, content_type, service, poster_time, owner)
    # Its attempt is named from the start: the event of what is stored here finds that it is being checked.
    video = _register(replace(video, attempt=new_name()), file.stat().st_size, service)
    upload = service.storage.save(file, video.inbox_key, content_type=video.content_type)
    video = check_file(video, upload, service)
    if video.problems:
        raise Rejected(video.problems)
    return video


def _register(video: Video, size_bytes: int, service: Service) -> Video:
    charge = Charge(owner=video.owner, at=video.created_at, size_bytes=size_bytes, quota=service.quota)
    logs.about(video.id)
    try:
        return service.videos.add(video, charge if video.owner and service.quota != UNLIMITED else None)
    except LostRace:
        written = replace(video, version=video.version + 1)
        if service.videos.get(video.id) != written:
            raise
        return written  # our own write: its response was lost, and the SDK repeated it


def _new_video(filename: str, content_type: str, service: Service, poster_time: float, owner: str) -> Video:
    max_s = service.spec.max_duration_s
    if not 0 <= poster_time <= max_s:
        raise BadRequest(
            f"Invalid poster time: {poster_time:g}",
            suggestions=[f"Send poster_time in seconds, from 0 to {max_s:g}, or omit it for 0."],
        )
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in CONTENT_TYPES:
        raise UnreadableBody(
            f"Invalid content type: {content_type[:100]!r}",
            suggestions=[
                f"Send one of {', '.join(CONTENT_TYPES)}.",
                "iPhone: video/quicktime or video/mp4; Android: video/mp4.",
            ],
        )
    now = service.now()
    return Video(
        id=str(uuid6.uuid7()),
        filename=_display_name(filename),
        content_type=kind,
        created_at=now,
        updated_at=now,
        upload_expires_at=now + service.ticket_ttl,
        owner=owner,
        pass_secret=token_hex(16) if owner else "",
        poster_time_s=poster_time,
        recover_at=now + service.silence_limit,
    )


def _display_name(filename: str) -> str:
    """The last part of a path, without control characters; for display only."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:MAX_FILENAME_CHARS] or "video"
