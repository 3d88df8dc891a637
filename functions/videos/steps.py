"""The use cases, in the order a video travels; the only place where ports meet rules.

Events come at least once and in any order. So every step looks at the state, does its
work, puts the job that follows, and only then compares and sets; a lost race means that
somebody else has done it, and is a normal outcome.
"""

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import uuid6

from videos import logs, metrics, passes, rules
from videos.advice import fitting_bit_rate
from videos.errors import (
    BadRequest,
    LostRace,
    Problem,
    Refused,
    ToolFailed,
    Unavailable,
    UnknownVideo,
    UnreadableBody,
)
from videos.model import UNLIMITED, Charge, Media, State, Video, outputs_prefix, source_key
from videos.ports import Page, Ticket
from videos.probe import probe
from videos.service import Service

CONTENT_TYPES = ("video/mp4", "video/quicktime", "video/x-m4v", "video/3gpp")
LONGEST_FILENAME = 255
CLEAN_UP_AFTER_S = 60  # longer than what is left to do then can take
LONGEST_CODEC = 32  # of what an app calls it; the refusal repeats it
LARGEST_PAGE = 100
# What iOS, Android and MP4 call what ffprobe calls h264 and hevc.
CODECS = {
    **dict.fromkeys(("avc1", "avc", "avc3", "h.264", "x264", "video/avc"), "h264"),
    **dict.fromkeys(("hvc1", "hev1", "h265", "h.265", "x265", "video/hevc"), "hevc"),
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What an app says of a file before it sends it.

    Attributes:
        size: bytes as the phone's picker tells them, often slightly wrong: never signed
            unless ``exact_size`` asks for it.
        method: POST lets storage enforce the size; PUT is for uploaders that send a raw body.
        poster_time: seconds into the clip, of the moment that its poster shows.
    """

    filename: str
    content_type: str
    size: int
    method: Literal["POST", "PUT"] = "POST"
    exact_size: bool = False
    poster_time: float = 0.0


def request_upload(request: UploadRequest, service: Service, owner: str = "") -> tuple[Video, Ticket]:
    """Register a video and make the ticket to upload it.

    Raises:
        BadRequest: the wishes do not go together, or no clip has such a poster time.
        UnreadableBody: not a type of video we read.
        Refused: the declared size alone breaks the spec.
        QuotaExceeded: the owner has had enough for today.
    """
    if problems := rules.check_size(request.size, service.spec):
        raise Refused(problems)
    if request.exact_size and request.method != "PUT":
        raise BadRequest(
            "exact_size goes with method PUT.",
            suggestions=["Leave exact_size out: a POST ticket takes any size up to the limit."],
        )
    video = _new_video(request.filename, request.content_type, service, request.poster_time, owner)
    ticket = service.storage.upload_ticket(
        video.source_key,
        method=request.method,
        content_type=video.content_type,
        max_bytes=service.spec.max_bytes,
        exact_bytes=request.size if request.exact_size else None,
        expires_at=video.upload_expires_at,
    )
    # What the ticket lets in, not what was declared: whoever says 1 byte may send the most.
    charged_bytes = request.size if request.exact_size else service.spec.max_bytes
    return _register(video, charged_bytes, service), ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightRequest:
    """What a phone's picker or camera knows of a clip, under the names of ``specs``; all of it optional.

    ``width`` and ``height`` are as displayed, or as coded if ``rotation`` says how to turn them.
    """

    size: int | None = None
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    rotation: int | None = None
    codec: str | None = None
    fps: float | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None
    color_space: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The verdict before an upload: broken rules, rules that must see the file, and what would fit.

    ``fitting_bit_rate`` is for the picture, in bits per second; None if the duration is not known.
    """

    problems: tuple[Problem, ...]
    unjudged: tuple[str, ...]
    fitting_bit_rate: int | None


def preflight(request: PreflightRequest, service: Service) -> Preflight:
    """Judge a clip by the same rules as its file will be, before a byte of it is sent."""
    turned = (request.rotation or 0) % 180 == 90
    told = {
        "size_bytes": request.size,
        "duration_s": request.duration,
        "width_px": request.height if turned else request.width,
        "height_px": request.width if turned else request.height,
        "codec": _codec(request.codec),
        "frame_rate": request.fps,
        "color_primaries": request.color_primaries,
        "color_transfer": request.color_transfer,
        "color_space": request.color_space,
    }
    known: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    media = Media(**{"content": "", "size_bytes": 0, **known, "rotation": (request.rotation or 0) % 360})
    problems, unjudged = rules.preflight(media, known.keys(), service.spec)
    fitting = None
    if request.duration and request.duration > 0:
        lasting_s = min(request.duration, service.spec.max_duration_s)
        fitting = fitting_bit_rate(lasting_s, max_bytes=service.spec.max_bytes)
    return Preflight(problems=problems, unjudged=unjudged, fitting_bit_rate=fitting)


def receive_file(
    filename: str,
    content_type: str,
    file: Path,
    service: Service,
    *,
    poster_time: float = 0.0,
    owner: str = "",
) -> Video:
    """Take a file that came with the request itself, and check it at once.

    Raises:
        UnreadableBody: not a type of video we read.
        Refused: the file breaks the spec.
        QuotaExceeded: the owner has had enough for today.
        ToolFailed: it could not be checked now; the upload's own event will.
    """
    video = _new_video(filename, content_type, service, poster_time, owner)
    video = _register(video, file.stat().st_size, service)
    service.storage.save(file, video.source_key, content_type=video.content_type)
    video = check_upload(video.id, service)
    if video.problems:
        raise Refused(video.problems)
    return video


def check_upload(video_id: str, service: Service) -> Video:
    """Probe an uploaded file, then queue it or say everything that is wrong with it.

    Returns:
        The video as it is now; after a repeated delivery, as it was.

    Raises:
        UnknownVideo: it was deleted; its late upload is removed too.
        FileNotFoundError: nothing was uploaded.
        ToolFailed, Unavailable: try again.
    """
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        service.storage.delete(source_key(video_id))
        raise
    if video.state is not State.AWAITING_UPLOAD:
        _refuse_late_file(video, service)
        return video

    source = service.storage.stat(video.source_key)
    problems = rules.check_size(source.size_bytes, service.spec)  # before a download: a PUT has no ceiling
    media = None
    if not problems:
        with service.private_folder() as folder:
            source = service.storage.fetch(video.source_key, folder / "source")
            media = probe(folder / "source", service.tools)
        problems = rules.check(media, service.spec)
    now = service.now()
    # A job goes before the update: a crash here costs a spare job, not a lost one, nor a file left over.
    if problems:
        service.jobs.put(video.id, delay_s=CLEAN_UP_AFTER_S)
        checked = video.to(State.REJECTED, at=now, source=source, media=media, problems=problems)
    else:
        assert media
        checked = video.to(
            State.QUEUED,
            at=now,
            recover_at=now + service.queue_patience,
            source=source,
            media=media,
            warnings=rules.warnings(media),
        )
        service.jobs.put(video.id)
    try:
        checked = service.record(video, checked)
    except LostRace:
        checked = service.videos.get(video_id)
    if checked.state is State.REJECTED:
        service.storage.delete(video.source_key)
    return checked


def _refuse_late_file(video: Video, service: Service) -> None:
    """An upload to a video that is past it. A good one is let be; what is not ours to keep is removed."""
    gone = video.state in (State.EXPIRED, State.REJECTED)
    with suppress(FileNotFoundError):
        if gone or (
            video.finished and service.storage.stat(video.source_key).size_bytes > service.spec.max_bytes
        ):
            service.storage.delete(video.source_key)


def reject(video: Video, problems: Sequence[Problem], service: Service, *, failure: str = "") -> Video:
    """Refuse a video whose file turned out to be broken while it was worked on. ``sweep`` removes its files.

    ``failure`` is what the tool said, for the log: it may name our own paths.
    """
    rejected = video.to(
        State.REJECTED,
        at=service.now(),
        problems=tuple(problems),
        failure=failure,
        outputs=(),
        playable_at=None,
    )
    return service.record(video, rejected)


def fail(video: Video, reason: str, service: Service) -> Video:
    """Give a video up for a reason of ours. Its upload is kept, and a dead letter, for ``redrive``."""
    service.jobs.bury(video.id)  # before the update: a crash here costs a spare letter, not a lost one
    return service.record(video, video.to(State.FAILED, at=service.now(), failure=reason))


def set_aside(video_id: str, service: Service) -> None:
    """End the attempt at a video without counting it: its worker was told to stop, which is no failure."""
    with suppress(UnknownVideo, LostRace):
        video = service.videos.get(video_id)
        if video.state is State.PROCESSING and video.attempts:
            soon = service.now() + service.look_again
            service.videos.update(replace(video.postponed(soon), attempts=video.attempts - 1))


def read_video(video_id: str, service: Service, owner: str = "") -> Video:
    """Raises UnknownVideo, also for another's: nobody learns that it is there."""
    video = service.videos.get(known_id(video_id))
    if video.owner != owner:
        raise UnknownVideo(video_id)
    return video


def list_videos(owner: str, service: Service, *, limit: int, after: str | None) -> Page:
    """The owner's videos, newest first, as ``Videos.of_owner`` has it.

    Raises:
        BadRequest: no page has such a size or such a beginning.
    """
    if not 1 <= limit <= LARGEST_PAGE or (after is not None and not _ID.fullmatch(after)):
        raise BadRequest(
            "There is no such page.",
            suggestions=[f"Send limit from 1 to {LARGEST_PAGE}, and after as the page before answered it."],
        )
    return service.videos.of_owner(owner, limit=limit, after=after)


def delete_video(video_id: str, service: Service, owner: str = "") -> None:
    """Remove the record, the upload and every output.

    The record goes first: without it no running step can publish anything more. A crash
    after that leaves files, which the job that was put before finds.

    Raises:
        UnknownVideo: there was no such record, or it is another's and stays.
    """
    known_id(video_id)
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        sweep(video_id, service)
        raise
    if video.owner != owner:
        raise UnknownVideo(video_id)
    service.jobs.put(video_id, delay_s=CLEAN_UP_AFTER_S)
    with suppress(UnknownVideo):  # somebody else was quicker
        service.erase(video_id)
    sweep(video_id, service)


def sweep(video_id: str, service: Service, *, over: str = "") -> None:
    """Remove every stored file of a video that its record does not point to.

    It lists, and only then reads. What was there before belongs to the attempt that runs now,
    which is let be, or to the record, or to nobody.

    Args:
        over: an attempt that has ended, whatever the record says.
    """
    stored = [*service.storage.keys(outputs_prefix(video_id)), source_key(video_id)]
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        left = stored
    else:
        running = () if video.finished or video.attempt == over else (video.attempt_prefix,)
        left = [key for key in stored if key not in video.files and not key.startswith(running)]
    service.storage.delete(*left)


def redrive(service: Service) -> int:
    """Send everything back to work that failed for good: an operator says that the cause is gone.

    The record goes first: a spare job alone brings no video back. Returns how many dead letters there were.
    """
    return service.jobs.redrive(lambda video_id: _revive(video_id, service))


def _revive(video_id: str, service: Service) -> None:
    now = service.now()
    with suppress(UnknownVideo):
        video = service.videos.get(video_id)
        if video.state is State.FAILED:
            back = State.QUEUED if video.media else State.AWAITING_UPLOAD
            again = {"attempts": 0, "rounds": 0, "failure": ""}
            service.videos.update(video.to(back, at=now, recover_at=now + service.look_again, **again))


def recover_videos(service: Service, *, limit: int = 100, within_s: float = 45.0) -> list[tuple[str, str]]:
    """Look after the videos that have been silent for too long: expire, repeat or fail them.

    Page after page of ``limit`` videos, until none is overdue or ``within_s`` seconds are over.

    Returns:
        What was looked at and what became of it: (video id, state or error).
    """
    began = time.monotonic()
    seen: dict[str, str] = {}
    while page := [one for one in service.videos.overdue(service.now(), limit=limit) if one.id not in seen]:
        for video in page:
            if time.monotonic() - began > within_s:
                return list(seen.items())
            logs.about(video.id)
            try:
                seen[video.id] = str(_recover(video, service).state)
            except Exception as error:  # one that cannot be helped now must not keep the others waiting
                if not isinstance(error, LostRace | UnknownVideo):  # somebody else is at it
                    metrics.emit({"stuck": 1})
                seen[video.id] = f"{type(error).__name__}: {error}"
    return list(seen.items())


def _recover(video: Video, service: Service) -> Video:
    """Postpones first: whatever happens then, others are looked at before this one is again."""
    now = service.now()
    waits = video.state is State.AWAITING_UPLOAD
    too_late = now > video.upload_expires_at + service.look_again
    if video.attempts >= service.most_attempts or video.rounds >= service.most_rounds:
        service.jobs.put(video.id, delay_s=CLEAN_UP_AFTER_S)  # removes what killed attempts left
        tried = max(video.attempts, video.rounds)
        return fail(video, f"It was tried {tried} times without success.", service)
    if not waits:
        video = service.record(video, video.postponed(now + service.queue_patience, rounds=1))
        service.jobs.put(video.id)
        return video
    video = service.record(video, video.postponed(now + service.look_again, rounds=too_late))
    try:
        return check_upload(video.id, service)  # its event may have been lost
    except FileNotFoundError:
        return service.record(video, video.to(State.EXPIRED, at=now)) if too_late else video
    except (ToolFailed, Unavailable, OSError) as error:
        if video.rounds < service.most_rounds:
            raise
        return fail(video, f"It could not be checked: {error}", service)


def known_id(text: str) -> str:
    """``text``, if it can be an id of ours at all. Raises UnknownVideo."""
    if not _ID.fullmatch(text):
        raise UnknownVideo(text)
    return text


def _codec(name: str | None) -> str | None:
    return CODECS.get(name.lower(), name.lower())[:LONGEST_CODEC] if name else None


def _register(video: Video, size_bytes: int, service: Service) -> Video:
    charge = Charge(owner=video.owner, at=video.created_at, size_bytes=size_bytes, quota=service.quota)
    return service.register(video, charge if video.owner and service.quota != UNLIMITED else None)


def _new_video(filename: str, content_type: str, service: Service, poster_time: float, owner: str) -> Video:
    longest_s = service.spec.max_duration_s
    if not 0 <= poster_time <= longest_s:
        raise BadRequest(
            f"Invalid poster time: {poster_time:g}",
            suggestions=[f"Send poster_time in seconds, from 0 to {longest_s:g}; without it, 0 is taken."],
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
        upload_expires_at=now + service.ticket_lasts,
        owner=owner,
        pass_secret=passes.new_secret() if owner else "",
        poster_time_s=poster_time,
        recover_at=now + service.look_again,
    )


def _display_name(filename: str) -> str:
    """The last part of a path, without control characters; only ever shown to people."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(letter for letter in last if letter.isprintable()).strip()[:LONGEST_FILENAME] or "video"
