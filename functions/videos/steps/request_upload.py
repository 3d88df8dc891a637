"""Register a video and issue its upload ticket, or receive the file itself."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

import uuid6

from videos.errors import BadRequest, KeyReused, LostRace, Rejected, UnknownVideo, UnreadableBody
from videos.fix import Fit, OnViolation
from videos.model import State, Video
from videos.ports import KeyedAnswer, Ticket
from videos.quota import UNLIMITED, Charge
from videos.service import Service
from videos.steps.preflight import preflight
from videos.telemetry import logs

CONTENT_TYPES = ("video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp")
UNTYPED = ("", "application/octet-stream")  # what curl says of a .mov; the check finds out what it is
MAX_FILENAME_CHARS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeatable:
    """A request that may be sent again: hashes of its key, with the owner, and of what it says."""

    key: str
    request: str


def request_upload(
    service: Service,
    *,
    filename: str,
    content_type: str,
    facts: Mapping[str, Any],
    method: Literal["POST", "PUT"] = "POST",
    exact_size: bool = False,
    poster_time_s: float = 0.0,
    on_violation: OnViolation | None = None,
    fit: Fit = Fit.CONTAIN,
    external_id: str = "",
    custom: str = "",
    owner: str = "",
    repeatable: Repeatable | None = None,
) -> tuple[Video, Ticket]:
    """Register a video and issue the ticket to upload it. A repeat registers nothing, and gets the same.

    Args:
        facts: what is known about the file, as ``preflight`` takes it. Its size is as reported by the
            phone's picker, so it is often slightly wrong, and signed only if ``exact_size`` is set.
        method: with POST, storage enforces the size; PUT is for uploaders that send a raw body.
        on_violation: None for what the service does by default.

    Raises:
        BadRequest: ``exact_size`` without PUT or without a size, or a poster time out of range.
        UnreadableBody: the content type is not supported.
        Rejected: something that is known breaks the spec, and will not be fixed.
        QuotaExceeded: the owner has used up today's quota.
        KeyReused: another request had the same key.
        UnknownVideo: a repeat, whose video was deleted.
    """
    if repeatable and (first := service.videos.answered(repeatable.key, service.now())):
        return _as_answered(first, repeatable, service)
    on_violation = on_violation or service.on_violation
    if violations := preflight(service, on_violation=on_violation, **facts).violations:
        raise Rejected(violations)
    size_bytes: int | None = facts.get("size_bytes")
    if exact_size and (method != "PUT" or not size_bytes):
        raise BadRequest(
            "exact_size requires method PUT and a size.",
            suggestions=["Omit exact_size: a POST ticket accepts any size up to the limit."],
        )
    video = _new_video(filename, content_type, service, poster_time_s, owner)
    video = replace(video, on_violation=on_violation, fit=fit, external_id=external_id, custom=custom)
    max_bytes = service.spec.max_upload_bytes(on_violation)
    exact_bytes = size_bytes if exact_size else None
    ticket = service.storage.upload_ticket(
        video.inbox_key,
        method=method,
        content_type=video.content_type,
        max_bytes=max_bytes,
        exact_bytes=exact_bytes,
        expires_at=video.upload_expires_at,
    )
    keyed = None
    if repeatable:
        keyed = KeyedAnswer(
            key=repeatable.key,
            request=repeatable.request,
            video_id=video.id,
            ticket=ticket,
            answered_at=video.created_at,
        )
    # What the ticket allows, not what was declared: a client that declares 1 byte may upload the maximum.
    try:
        return _register(video, exact_bytes or max_bytes, service, keyed), ticket
    except LostRace:
        if repeatable and (first := service.videos.answered(repeatable.key, service.now())):
            return _as_answered(first, repeatable, service)
        raise


def _as_answered(first: KeyedAnswer, repeatable: Repeatable, service: Service) -> tuple[Video, Ticket]:
    if first.request != repeatable.request:
        raise KeyReused(
            "Another request has used this Idempotency-Key.",
            suggestions=["Send the same body as before with this key, or a new key with this body."],
        )
    video = service.videos.get(first.video_id)
    return replace(video, state=State.AWAITING_UPLOAD), first.ticket  # as it was then


def receive_file(
    filename: str,
    content_type: str,
    file: Path,
    service: Service,
    *,
    poster_time_s: float = 0.0,
    on_violation: OnViolation | None = None,
    fit: Fit = Fit.CONTAIN,
    external_id: str = "",
    custom: str = "",
    owner: str = "",
) -> Video:
    """Store a file received in the request itself, and check it immediately: it is accepted, or rejected.

    Raises:
        UnreadableBody: the content type is not supported.
        Rejected: the file breaks the spec.
        QuotaExceeded: the owner has used up today's quota.
        ToolFailed: the check failed; ``recover_videos`` has it repeated.
    """
    # Deferred: a ticket needs nothing of what checks and copies a file, which takes 20 ms of CPU to import.
    from videos.steps.attempts import new_name
    from videos.steps.check_upload import check_file

    video = _new_video(filename, content_type, service, poster_time_s, owner)
    video = replace(
        video,
        on_violation=on_violation or service.on_violation,
        fit=fit,
        external_id=external_id,
        custom=custom,
        attempt=new_name(),  # from the start: the event of what is stored here finds that it is being checked
    )
    video = _register(video, file.stat().st_size, service)
    upload = service.storage.save(file, video.inbox_key, content_type=video.content_type)
    video = check_file(video, upload, service)
    if video.problems:
        raise Rejected(video.problems)
    return video


def _register(video: Video, size_bytes: int, service: Service, keyed: KeyedAnswer | None = None) -> Video:
    charge = Charge(owner=video.owner, at=video.created_at, size_bytes=size_bytes, quota=service.quota)
    logs.about(video.id)
    try:
        return service.videos.add(
            video, charge if video.owner and service.quota != UNLIMITED else None, keyed
        )
    except LostRace:
        written = replace(video, version=video.version + 1)
        with suppress(UnknownVideo):  # nothing was written, since there is an answer with that key
            if service.videos.get(video.id) == written:
                return written  # our own write: its response was lost, and the SDK repeated it
        raise


def _new_video(filename: str, content_type: str, service: Service, poster_time_s: float, owner: str) -> Video:
    max_s = service.spec.max_duration_s
    if not 0 <= poster_time_s <= max_s:
        raise BadRequest(
            f"Invalid poster time: {poster_time_s:g}",
            suggestions=[f"Send poster_time in seconds, from 0 to {max_s:g}, or omit it for 0."],
        )
    kind = content_type.partition(";")[0].strip().lower()
    kind = "video/mp4" if kind in UNTYPED else kind
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
        poster_time_s=poster_time_s,
        recover_at=now + service.silence_limit,
    )


def _display_name(filename: str) -> str:
    """The last part of a path, without control characters; for display only."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:MAX_FILENAME_CHARS] or "video"
