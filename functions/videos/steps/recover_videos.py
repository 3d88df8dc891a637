"""Recover stalled videos: put a job that looks after each. However long they wait, that fails none."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

from videos.errors import LostRace, UnknownVideo
from videos.model import State, Video
from videos.policy import RECOVER_WITHIN_S, RECOVERED_AT_ONCE, queue_timeout
from videos.service import Service
from videos.telemetry import logs, metrics


def redrive(service: Service) -> int:
    """Re-queue every failed video, once an operator has fixed the cause.

    Resets the record before the job: a job alone does not revive a video. Returns the number of dead letters.
    """
    return service.jobs.redrive(lambda video_id: _revive(video_id, service))


def _revive(video_id: str, service: Service) -> None:
    now = service.now()
    with suppress(UnknownVideo):
        video = service.videos.get(video_id)
        if video.state is State.FAILED:
            state = State.QUEUED if video.media else State.AWAITING_UPLOAD
            reset = {"attempt": "", "attempts": 0, "exhausted": 0, "lost": 0, "rounds": 0, "failure": ""}
            service.videos.update(video.to(state, at=now, recover_at=now + service.silence_limit, **reset))


def recover_videos(
    service: Service, *, limit: int = 100, within_s: float = RECOVER_WITHIN_S
) -> list[tuple[str, str]]:
    """Put a job for every stalled video. Checks and transcodes nothing itself, so none holds up the others.

    In pages of ``limit`` videos, side by side, until none is overdue or ``within_s`` seconds have passed.

    Returns:
        For each video: (id, its state now or the error).
    """
    ends = time.monotonic() + within_s
    seen: dict[str, str] = {}
    with ThreadPoolExecutor(RECOVERED_AT_ONCE) as pool:
        while page := [v for v in service.videos.overdue(service.now(), limit=limit) if v.id not in seen]:
            # Each in a copy of this context, which has what every log line of the invocation says.
            tasks = [pool.submit(copy_context().run, _look_after, video, service, ends) for video in page]
            seen |= {
                video.id: outcome
                for video, task in zip(page, tasks, strict=True)
                if (outcome := task.result())
            }
            if time.monotonic() > ends:
                break
    return list(seen.items())


def _look_after(video: Video, service: Service, ends: float) -> str:
    """Its state or the error; "" if it is too late to begin."""
    if time.monotonic() > ends:
        return ""
    logs.about(video.id)
    try:
        return str(_recover(video, service).state)
    except Exception as error:  # one failure must not block the other videos
        if not isinstance(error, LostRace | UnknownVideo):  # another process is working on it
            metrics.emit({"stuck": 1})
        return f"{type(error).__name__}: {error}"


def _recover(video: Video, service: Service) -> Video:
    """Postpone the video before anything else, so that a failure cannot starve the others."""
    now = service.now()
    expired_at = video.upload_expires_at + service.silence_limit
    if video.state is State.AWAITING_UPLOAD and now < expired_at:
        postponed = video.postponed(expired_at)  # the event of its upload was lost, or nothing has come yet
    else:  # its job was lost, or waits; or it failed long ago, and is erased
        waited = queue_timeout(video.rounds, service.queue_timeout)
        postponed = video.postponed(now + waited, rounds=0 if video.finished else 1)
    video = service.videos.update(postponed)
    service.jobs.put(video.id)
    return video
