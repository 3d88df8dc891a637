"""Take an uploaded file: reject it with every violation, or publish its copy and queue the rest.

What breaks the spec and is to be fixed is only queued: there is nothing to copy yet.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from videos.checking import rules
from videos.checking.probe import probe
from videos.checking.verdict import decide, warnings
from videos.errors import BadMedia, LostRace, ToolFailed, Unavailable, UnknownVideo
from videos.fix import Fix
from videos.making.outputs import MadeFiles, SoundLost, can_be_copied, make_copy
from videos.model import Media, State, StoredObject, Video
from videos.policy import CLEAN_UP_AFTER_S
from videos.service import Service
from videos.steps.attempts import begin, end_without_result, is_live, store, write
from videos.steps.endings import sweep

PROGRESS_PLAYABLE = 5  # of 100: the copy is a small part of the work


def check_upload(video_id: str, service: Service) -> Video:
    """Take the file that was uploaded with a video's ticket, if it has none yet.

    A ticket is good for one file: whatever comes later is deleted.

    Returns:
        The current video; unchanged after a duplicate delivery, or while another worker checks it.

    Raises:
        UnknownVideo: it was deleted; the late upload is deleted too.
        FileNotFoundError: nothing was uploaded yet.
        ToolFailed, Unavailable: retry.
    """
    try:
        video = service.videos.get(video_id)
    except UnknownVideo:
        sweep(video_id, service)
        raise
    if video.state is not State.AWAITING_UPLOAD:
        _delete_late_upload(video, service)
        return video
    if is_live(video, service):
        return video
    try:
        upload = service.storage.stat(video.inbox_key)
    except FileNotFoundError:
        return _expired(video, service)
    try:
        video = begin(video, State.AWAITING_UPLOAD, service)
    except LostRace:
        return service.videos.get(video_id)
    return video if video.finished else check_file(video, upload, service)


def check_file(video: Video, upload: StoredObject, service: Service) -> Video:
    """Check the upload of a video whose attempt is in its record; see ``check_upload``."""
    try:
        return _check(video, upload, service)
    except (LostRace, UnknownVideo):
        sweep(video.id, service, over=video.attempt)
        return service.videos.get(video.id)
    except (ToolFailed, Unavailable, OSError) as error:
        with suppress(Unavailable):
            sweep(video.id, service, over=video.attempt)
        return end_without_result(video, error, service)


def _check(video: Video, source: StoredObject, service: Service) -> Video:
    # Before the download: a PUT is unlimited.
    violations = rules.check_size(source.size_bytes, service.spec, video.on_violation)
    media = None
    fixes: tuple[Fix, ...] = ()
    with service.private_folder() as folder:
        if not violations:
            source = service.storage.fetch(video.inbox_key, folder / "source")
            media = probe(folder / "source", service.tools)
            violations = rules.check(media, service.spec)
        measured = media or Media(content="", size_bytes=source.size_bytes)
        violations, fixes = decide(measured, violations, video.on_violation, service.spec)
        # The job before the update: a crash in between leaves a spare job, no lost job or leftover file.
        if violations:
            service.jobs.put(video.id, delay_s=CLEAN_UP_AFTER_S)
            rejected = replace(video, source=source, media=media, attempt="")
            checked = write(rejected.to(State.REJECTED, at=service.now(), problems=violations), service)
        else:
            assert media
            with ThreadPoolExecutor(1) as beside:
                taking = beside.submit(_take, folder, source, video, service)
                made = MadeFiles(()) if fixes else _copy(folder, media, video, service)
                taken = taking.result()
            outputs = store(made.files, video, service)
            service.jobs.put(video.id)
            now = service.now()
            queued = video.to(
                State.QUEUED,
                at=now,
                recover_at=now + service.queue_timeout,
                attempt="",
                exhausted=0,
                source=replace(source, key=taken.key, etag=taken.etag),
                media=media,
                warnings=warnings(media, fixes),
                fixes=fixes,
                outputs=tuple(outputs),
                blurhash=made.blurhash,
                playable_at=now if outputs else None,
                progress=PROGRESS_PLAYABLE if outputs else 0,
            )
            checked = write(queued, service)
    service.storage.delete(video.inbox_key)
    return checked


def _take(folder: Path, source: StoredObject, video: Video, service: Service) -> StoredObject:
    """Store what was checked under a key of its own. Storage copies it by itself, while it is still there."""
    prefix, _ = video.attempt_prefixes
    key = f"{prefix}source"
    try:
        return service.storage.copy(source, key, content_type=video.content_type)
    except FileNotFoundError:
        return service.storage.save(folder / "source", key, content_type=video.content_type)


def _copy(folder: Path, media: Media, video: Video, service: Service) -> MadeFiles:
    """What can be played at once; nothing, if the video must be encoded first."""
    if can_be_copied(media):
        with suppress(BadMedia, SoundLost):  # if the copy fails, decoding decides
            return make_copy(folder, media, video.poster_time_s, service.tools)
    return MadeFiles(())


def _expired(video: Video, service: Service) -> Video:
    """Raises FileNotFoundError before the ticket expires: the upload may still come."""
    now = service.now()
    if now < video.upload_expires_at + service.silence_limit:
        raise FileNotFoundError(f"Nothing was uploaded for {video.id} yet.")
    return service.videos.update(video.to(State.EXPIRED, at=now))


def _delete_late_upload(video: Video, service: Service) -> None:
    """Delete what came after a file was taken. Records of before 0.2 have their file in the inbox."""
    if video.inbox_key not in video.files:
        service.storage.delete(video.inbox_key)
