"""A clip brought through the steps of a service."""

from contextlib import suppress
from pathlib import Path

from videos.errors import UnknownVideo
from videos.steps.check_upload import check_upload
from videos.steps.request_upload import request_upload
from videos.steps.transcode_video import transcode_video


def ticketed(service, *, size=1024**2, **wanted):
    request = {"filename": "cat.mp4", "content_type": "video/mp4", "facts": {"size_bytes": size}}
    video, _ = request_upload(service, **request | wanted)
    return video


def uploaded(service, file: Path, **wanted):
    video = ticketed(service, **wanted)
    service.storage.save(file, video.inbox_key, content_type="video/mp4")
    return video


def checked(service, file: Path):
    return check_upload(uploaded(service, file).id, service)


def work_off(service):
    """Do every job that is ready, as often as it is given back."""
    while job := service.jobs.receive():
        with suppress(FileNotFoundError, UnknownVideo):
            transcode_video(job.video_id, service, first_try=job.receives == 1)
        service.jobs.done(job)


def stored_keys(service, video):
    prefixes = ("uploads/", "sources/", video.outputs_prefix)
    return {key for prefix in prefixes for key in service.storage.keys(prefix)}


def fetched(service, video, name: str, folder: Path) -> Path:
    path = folder / f"{name}.file"
    service.storage.fetch(video.output(name).key, path)
    return path
