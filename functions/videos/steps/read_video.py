"""Read, list and delete videos, for their owner only."""

import re
from contextlib import suppress

from videos.errors import BadRequest, UnknownVideo
from videos.model import Video
from videos.policy import CLEAN_UP_AFTER_S
from videos.ports import Page
from videos.service import Service
from videos.steps.endings import sweep

MAX_PAGE = 100
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def read_video(video_id: str, service: Service, owner: str = "") -> Video:
    """Raises UnknownVideo, also for another owner's video: its existence stays hidden."""
    video = service.videos.get(parse_id(video_id))
    if video.owner != owner:
        raise UnknownVideo(video_id)
    return video


def list_videos(owner: str, service: Service, *, limit: int, after: str | None) -> Page:
    """A page of the owner's videos, newest first; see ``Videos.of_owner``.

    Raises:
        BadRequest: the limit or the cursor is invalid.
    """
    if not 1 <= limit <= MAX_PAGE or (after is not None and not _ID.fullmatch(after)):
        raise BadRequest(
            "Invalid limit or cursor.",
            suggestions=[f"Send a limit from 1 to {MAX_PAGE}, and as after the value of the previous page."],
        )
    return service.videos.of_owner(owner, limit=limit, after=after)


def delete_video(video_id: str, service: Service, owner: str = "") -> None:
    """Delete the record, the upload and every output.

    The record goes first, so that no running step can publish any more. If a crash then
    leaves files behind, the clean-up job queued before deletes them.

    Raises:
        UnknownVideo: there is no such record, or another owner's, which stays.
    """
    parse_id(video_id)
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        sweep(video_id, service)
        raise
    if video.owner != owner:
        raise UnknownVideo(video_id)
    service.jobs.put(video_id, delay_s=CLEAN_UP_AFTER_S)
    with suppress(UnknownVideo):  # deleted by another request
        service.videos.delete(video_id)
    sweep(video_id, service)


def parse_id(text: str) -> str:
    """``text``, if it has the format of a video id (UUIDv7). Raises UnknownVideo."""
    if not _ID.fullmatch(text):
        raise UnknownVideo(text)
    return text
