"""Videos as the wire shows them. Every URL is absolute; no storage key leaves the house."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from videos import passes, playlists
from videos.errors import Refused
from videos.model import Media, Output, State, Video
from videos.ports import Page, Ticket
from videos.steps import Preflight

# When to ask again, in ms: soon while something is about to happen.
RETRY_AFTER_MS = {State.AWAITING_UPLOAD: 1000, State.QUEUED: 250, State.PROCESSING: 1000}
_ENDINGS = {
    State.FAILED: (
        "processing_failed",
        ["The fault is ours, not the file's. Send the clip again; if it fails again, tell us the id."],
    ),
    State.EXPIRED: (
        "upload_expired",
        ["Nothing was uploaded in time. Ask for a new ticket with POST /upload."],
    ),
}


def ticket(video: Video, ticket: Ticket, base_url: str) -> dict[str, Any]:
    """The answer to POST /upload with JSON."""
    return {
        "id": video.id,
        "url": video_url(video, base_url),
        "state": video.state,
        "upload": {
            "method": ticket.method,
            "url": ticket.url,
            "fields": dict(ticket.fields),
            "headers": dict(ticket.headers),
            "expires_at": ticket.expires_at.isoformat(),
            "max_bytes": ticket.max_bytes,
        },
        "links": links(video, base_url),
    }


def preflight(verdict: Preflight) -> dict[str, Any]:
    """The answer to POST /preflight. ``fitting_bit_rate`` is in bits per second."""
    return {
        "accepted": not verdict.problems,
        "violations": [asdict(problem) for problem in verdict.problems],
        "unjudged": list(verdict.unjudged),
        "fitting_bit_rate": verdict.fitting_bit_rate,
    }


def status(video: Video) -> dict[str, Any]:
    """The answer to GET /videos/{id}/status; with the refusal's fields once there is one."""
    return {
        "id": video.id,
        "state": video.state,
        "progress": video.progress,
        "playable": video.playable,
        "updated_at": video.updated_at.isoformat(),
        "retry_after_ms": RETRY_AFTER_MS.get(video.state),  # null: nothing will change any more
        "time_left_ms": None if video.time_left_s is None else round(video.time_left_s * 1000),
        **ending(video),
    }


def page(found: Page, base_url: str) -> dict[str, Any]:
    """The answer to GET /videos. ``after`` asks for the next page; null on the last."""
    return {"videos": [_listed(video, base_url) for video in found.videos], "after": found.after}


def _listed(video: Video, base_url: str) -> dict[str, Any]:
    return {
        **status(video),
        "filename": video.filename,
        "created_at": video.created_at.isoformat(),
        "url": video_url(video, base_url),
        "poster": _poster(video, base_url),
        "blurhash": video.blurhash or None,
        "links": links(video, base_url),
    }


def metadata(video: Video, base_url: str) -> dict[str, Any]:
    """The answer to GET /videos/{id}/metadata; what is not known yet is null."""
    files = [output for output in video.outputs if output.content_type.startswith("video/")]
    return {
        "id": video.id,
        "filename": video.filename,
        "url": video_url(video, base_url),
        "state": video.state,
        "playable": video.playable,
        "created_at": video.created_at.isoformat(),
        "updated_at": video.updated_at.isoformat(),
        "playable_at": _time(video.playable_at),
        "completed_at": _time(video.completed_at),
        "specs": specs(video.media) if video.media else None,
        "storage_info": storage_info(video),
        "renditions": [_rendition(output, video, base_url) for output in files],
        "hls": file_url(video, "master.m3u8", base_url) if playlists.variants(video) else None,
        "poster": _poster(video, base_url),
        "poster_time": video.poster_time_s,
        "blurhash": video.blurhash or None,
        "sprite": file_url(video, "sprite.jpg", base_url) if video.output("sprite") else None,
        "sprite_vtt": file_url(video, "sprite.vtt", base_url) if video.output("sprite") else None,
        "warnings": list(video.warnings),
        "links": links(video, base_url),
        **ending(video),
    }


def specs(media: Media) -> dict[str, Any]:
    """What was measured, under ffprobe's names."""
    audio = media.audio
    return {
        "width": media.width_px,
        "height": media.height_px,
        "fps": media.frame_rate,
        "duration": media.duration_s,
        "codec": media.codec,
        "profile": media.profile,
        "level": media.level,
        "pixel_format": media.pixel_format,
        "color_primaries": media.color_primaries or None,
        "color_transfer": media.color_transfer or None,
        "color_space": media.color_space or None,
        "color_range": media.color_range or None,
        "rotation": media.rotation,
        "bit_rate": media.bit_rate,
        "frame_count": media.frame_count,
        "audio": audio
        and {
            "codec": audio.codec,
            "profile": audio.profile,
            "channels": audio.channels,
            "sample_rate": audio.sample_rate_hz,
            "bit_rate": audio.bit_rate,
            "duration": audio.duration_s,
            "loudness_lufs": audio.loudness_lufs,
            "true_peak_dbtp": audio.true_peak_dbtp,
        },
    }


def storage_info(video: Video) -> dict[str, Any] | None:
    """What is stored: the upload as it came, and how much we made of it."""
    if video.source is None:
        return None
    return {
        "content_type": video.content_type,
        "size_bytes": video.source.size_bytes,
        "etag": video.source.etag,
        "uploaded_at": video.source.stored_at.isoformat(),
        "outputs": len(video.outputs),
        "outputs_bytes": sum(output.size_bytes for output in video.outputs),
    }


def ending(video: Video) -> dict[str, Any]:
    """The error fields of a video that came to a bad end; {} for any other."""
    if video.problems:
        refusal = Refused(video.problems)
        return {
            "error": str(refusal),
            "suggestions": list(refusal.suggestions),
            "code": refusal.code,
            **refusal.details,
        }
    if video.state not in _ENDINGS:
        return {}
    code, suggestions = _ENDINGS[video.state]
    return {"error": video.failure or "The upload ticket expired.", "suggestions": suggestions, "code": code}


def links(video: Video, base_url: str) -> dict[str, str]:
    return {name: f"{base_url}/videos/{video.id}/{name}" for name in ("status", "metadata")}


def video_url(video: Video, base_url: str) -> str:
    """The stable address to play a video at, from before it is there until it is deleted."""
    return file_url(video, "video.mp4", base_url)


def file_url(video: Video, name: str, base_url: str) -> str:
    return f"{base_url}/videos/{video.id}/{name}{passes.query(video)}"


def _poster(video: Video, base_url: str) -> str | None:
    return file_url(video, "poster.jpg", base_url) if video.output("poster") else None


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _rendition(output: Output, video: Video, base_url: str) -> dict[str, Any]:
    lasting_s = video.media.duration_s if video.media else 0
    return {
        "name": output.name,
        "codec": output.codec,
        "codecs": output.segments.codecs if output.segments else None,
        "width": output.width_px,
        "height": output.height_px,
        "size_bytes": output.size_bytes,
        "bit_rate": round(output.size_bytes * 8 / lasting_s) if lasting_s else None,
        "url": file_url(video, f"{output.name}.mp4", base_url),
    }
