"""What a check and a transcode have in common: one attempt at a time, named in the record before it works.

The name tells a worker that was lost from one that failed: whoever fails takes it out again. So the record
counts apart how often an attempt failed through no fault of the file (``attempts``), ran a tool into its
limits (``exhausted``), or ended with its worker (``lost``), and bounds each.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

from videos.checking import rules
from videos.errors import LostRace, ToolExhausted, UnknownVideo, Violation
from videos.making.outputs import File
from videos.model import Media, Output, State, Video
from videos.policy import LEASE_S, MAX_EXHAUSTED, WATCH_STEP
from videos.service import Service
from videos.steps.endings import fail, reject


def new_name() -> str:
    return uuid4().hex[:12]


def is_live(video: Video, service: Service) -> bool:
    """Whether an attempt wrote within its lease. Clock skew beyond the lease does not count."""
    silent = abs(service.now() - video.updated_at)
    return bool(video.attempt) and silent < timedelta(seconds=LEASE_S)


def begin(video: Video, state: State, service: Service) -> Video:
    """Name a new attempt in the record. One that is still named was lost with its worker.

    Returns:
        The video; failed, if one worker too many was lost.

    Raises:
        LostRace: another worker was quicker.
    """
    lost = video.lost + bool(video.attempt)
    if lost >= service.max_lost:
        return fail(replace(video, lost=lost), f"Its worker was lost {lost} times.", service)
    due = watched_until(video, service)
    begun = video.to(state, at=service.now(), recover_at=due, attempt=new_name(), lost=lost, rounds=0)
    return write(begun, service)


def watched_until(video: Video, service: Service) -> datetime:
    """When to recover a video whose attempt writes now, unless it writes again.

    The time stays as it is while that is late enough: each change of it rewrites an index.
    """
    earliest = service.now() + service.silence_limit
    latest = earliest + WATCH_STEP
    return video.recover_at if video.recover_at and earliest <= video.recover_at <= latest else latest


def write(video: Video, service: Service) -> Video:
    """Record what an attempt did. Raises LostRace if the attempt is no longer the one at work."""
    try:
        return service.videos.update(video)
    except LostRace:
        written = replace(video, version=video.version + 1)
        if service.videos.get(video.id) != written:
            raise
        return written  # our own write: its response was lost, and the SDK repeated it


def end_without_result(video: Video, error: Exception, service: Service) -> Video:
    """Count why an attempt came to nothing.

    Returns:
        The video: rejected or failed, since it was tried often enough, or as another attempt left it.

    Raises:
        error: it may be tried again.
    """
    try:
        if isinstance(error, ToolExhausted):
            tried = replace(video, exhausted=video.exhausted + 1)
            if tried.exhausted >= MAX_EXHAUSTED:
                return reject(tried, _too_slow(video, service), service, failure=str(error))
        else:
            tried = replace(video, attempts=video.attempts + 1)
            if tried.attempts >= service.max_failures:
                return fail(tried, f"The video could not be processed: {error}", service)
        _set_aside(tried, service)
    except LostRace:
        return service.videos.get(video.id)  # perhaps our own last write, whose answer was lost
    raise error


def _too_slow(video: Video, service: Service) -> list[Violation]:
    media = video.media or Media(content=video.content_type, size_bytes=0)
    slow = replace(media, faults=("It takes too long to read.",))
    violations = rules.check(slow, service.spec)
    return [one for one in violations if video.media or one.rule == "integrity"]


def interrupted(video_id: str, service: Service, *, alone: bool) -> None:
    """Take up that the worker of a video has gone.

    Args:
        alone: it worked on nothing else, so that the file may have killed it. A loss that several videos
            share, or that was asked for, is not counted.
    """
    with suppress(UnknownVideo, LostRace):
        video = service.videos.get(video_id)
        if video.attempt and not video.finished:
            _set_aside(replace(video, lost=video.lost + alone), service)


def _set_aside(video: Video, service: Service) -> None:
    """Record that no attempt is at work."""
    now = service.now()
    waiting = replace(video, attempt="").to(video.state, at=now, recover_at=now + service.silence_limit)
    write(waiting, service)


def store(files: Iterable[File], video: Video, service: Service) -> list[Output]:
    """Store what the current attempt made. Only the record publishes it."""
    outputs = []
    _, folder = video.attempt_prefixes
    for file in files:
        key = folder + file.path.name
        stored = service.storage.save(file.path, key, content_type=file.content_type)
        outputs.append(
            Output(
                name=file.name,
                key=key,
                content_type=file.content_type,
                codec=file.codec,
                width_px=file.width_px,
                height_px=file.height_px,
                size_bytes=stored.size_bytes,
                segments=file.segments,
                sheet=file.sheet,
            )
        )
    return outputs
