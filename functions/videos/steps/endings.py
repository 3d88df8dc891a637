"""Reject or fail a video, and delete its leftover files."""

from collections.abc import Sequence
from contextlib import suppress

from videos.errors import UnknownVideo, Violation
from videos.keys import inbox_key, outputs_prefix, sources_prefix
from videos.model import State, Video
from videos.policy import KEPT_AFTER_ENDING
from videos.service import Service


def reject(video: Video, violations: Sequence[Violation], service: Service, *, failure: str = "") -> Video:
    """Reject a video whose file proved broken during processing. ``sweep`` deletes its files.

    ``failure`` is the tool's error output, for the log only: it may contain internal paths.
    """
    rejected = video.to(
        State.REJECTED,
        at=service.now(),
        problems=tuple(violations),
        failure=failure,
        outputs=(),
        playable_at=None,
    )
    return service.videos.update(rejected)


def fail(video: Video, reason: str, service: Service) -> Video:
    """Mark a video failed for an internal reason.

    Keeps its upload, what plays and a dead letter, for ``redrive``, until it is time to ``erase`` it.
    """
    # Before the update: a crash in between leaves a spare letter, never a lost one.
    service.jobs.bury(video.id)
    now = service.now()
    failed = video.to(State.FAILED, at=now, recover_at=now + KEPT_AFTER_ENDING, failure=reason)
    return service.videos.update(failed)


def was_kept_long_enough(video: Video, service: Service) -> bool:
    """Whether it is time to erase a failed video."""
    return video.state is State.FAILED and service.now() >= video.updated_at + KEPT_AFTER_ENDING


def erase(video_id: str, service: Service) -> None:
    """Delete every file of a video, then its record: without it, nobody would find them again."""
    service.storage.delete(*_stored(video_id, service))
    with suppress(UnknownVideo):  # by another job
        service.videos.delete(video_id)


def _stored(video_id: str, service: Service) -> list[str]:
    prefixes = (sources_prefix(video_id), outputs_prefix(video_id))
    return [inbox_key(video_id), *(key for prefix in prefixes for key in service.storage.keys(prefix))]


def sweep(video_id: str, service: Service, *, over: str = "") -> None:
    """Delete every stored file of a video that its record does not reference.

    Lists the files before reading the record: each then belongs to the running attempt, which
    is spared, to the record, or to nothing.

    Args:
        over: an attempt that has ended, even if the record still names it.
    """
    stored = _stored(video_id, service)
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        leftover = stored
    else:
        running = () if video.finished or video.attempt == over else video.attempt_prefixes
        leftover = [key for key in stored if key not in video.files and not key.startswith(running)]
    service.storage.delete(*leftover)
