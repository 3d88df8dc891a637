"""Videos as the API answers them. Every URL is absolute; storage keys stay inside."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import asdict

from videos import policy, ports
from videos.errors import Rejected, Violation
from videos.fix import Fix
from videos.model import Audio, Media, Output, OutputName, State, Video
from videos.suggestions import SuggestionsFor
from videos.web import passes, playlists
from videos.web.answers import (
    STATUS_IN,
    AudioSpecs,
    CheckedUpload,
    CompanionTicket,
    Ending,
    Following,
    Links,
    ListedVideo,
    Metadata,
    Rendition,
    Specs,
    StorageInfo,
    Ticket,
    Upload,
    Verdict,
    VideoPage,
)

_UPLOAD_AGAIN = (
    "The service is at fault, not the file. Upload it again. If it fails again, report the video's id."
)
_NEW_TICKET = "Nothing was uploaded in time. Request a new ticket with POST /upload."
ENDINGS = {
    State.REJECTED: Ending(  # every rejected video has violations, which say more
        error="The file violates the spec.",
        suggestions=[],
        suggestions_for=SuggestionsFor(),
        code=Rejected.code,
        violations=[],
    ),
    State.FAILED: Ending(
        error="The video could not be processed.",
        suggestions=[_UPLOAD_AGAIN],
        suggestions_for=SuggestionsFor.everyone(_UPLOAD_AGAIN),
        code="processing_failed",
    ),
    State.EXPIRED: Ending(
        error="The upload ticket expired.",
        suggestions=[_NEW_TICKET],
        suggestions_for=SuggestionsFor(developer=(_NEW_TICKET,)),
        code="upload_expired",
    ),
}


def ticket(video: Video, ticket: ports.Ticket, base_url: str) -> Ticket:
    return Ticket(
        id=video.id,
        url=video_url(video, base_url),
        state=video.state,
        upload=Upload(
            method=ticket.method,
            url=absolute(ticket.url, base_url),
            fields=dict(ticket.fields) or UNSET,
            headers=dict(ticket.headers) or UNSET,
            expires_at=ticket.expires_at.isoformat(),
            max_bytes=ticket.max_bytes,
        ),
        links=links(video, base_url),
    )


def companion_ticket(video: Video, ticket: ports.Ticket, base_url: str) -> CompanionTicket:
    return CompanionTicket(
        method="POST",
        # Ends in a slash, as Companion's does; S3's only where the bucket is in the name of the host.
        url=f"{absolute(ticket.url, base_url).rstrip('/')}/",
        fields=dict(ticket.fields),
        expires=int((ticket.expires_at - video.created_at).total_seconds()),
        id=video.id,
        links=links(video, base_url),
    )


def checked_upload(video: Video, media: Media, base_url: str) -> CheckedUpload:
    return CheckedUpload(
        id=video.id,
        url=video_url(video, base_url),
        specs=specs(media),
        state=video.state,
        fixes=_listed_fixes(video.fixes),
        links=links(video, base_url),
    )


def preflight(
    problems: Sequence[Violation],
    fixes: Sequence[Fix],
    unjudged: Sequence[str],
    fitting_bit_rate: int | None,
    ignored: Sequence[str] = (),
) -> Verdict:
    return Verdict(
        accepted=not problems,
        violations=list(problems),
        fixes=_listed_fixes(fixes),
        unjudged=list(unjudged),
        fitting_bit_rate=fitting_bit_rate,
        ignored=list(ignored) or UNSET,
    )


def retry_after_ms(video: Video, now: datetime) -> int | None:
    """When to poll again: soon while the video is young; None if it is finished."""
    if video.finished:
        return None
    if video.state is State.AWAITING_UPLOAD and video.attempt:  # it is being checked
        since, bands = video.updated_at, policy.POLL_UNPLAYABLE
    elif video.source is None:
        since, bands = video.created_at, policy.POLL_UPLOADING
    else:
        since = video.source.stored_at
        bands = policy.POLL_PLAYABLE if video.playable else policy.POLL_UNPLAYABLE
    return policy.poll_after_ms((now - since).total_seconds(), bands)


def status(video: Video, now: datetime) -> Following:
    return STATUS_IN[video.state](
        id=video.id,
        state=video.state,
        progress=video.progress,
        playable=video.playable,
        updated_at=video.updated_at.isoformat(),
        retry_after_ms=retry_after_ms(video, now),
        time_left_ms=None if video.time_left_s is None else round(video.time_left_s * 1000),
        fixes=_listed_fixes(video.fixes),
        **_given(video),
        **_error_fields(video),
    )


def page(page: ports.Page, base_url: str, now: datetime) -> VideoPage:
    return VideoPage(videos=[_listed(video, base_url, now) for video in page.videos], after=page.after)


def _listed(video: Video, base_url: str, now: datetime) -> ListedVideo:
    return ListedVideo(
        **asdict(status(video, now)),
        filename=video.filename,
        created_at=video.created_at.isoformat(),
        url=video_url(video, base_url),
        poster=_output_url(video, OutputName.POSTER, "poster.jpg", base_url),
        blurhash=video.blurhash or None,
        links=links(video, base_url),
    )


def metadata(video: Video, base_url: str) -> Metadata:
    renditions = [output for output in video.outputs if output.content_type.startswith("video/")]
    return Metadata(
        id=video.id,
        filename=video.filename,
        url=video_url(video, base_url),
        state=video.state,
        playable=video.playable,
        created_at=video.created_at.isoformat(),
        updated_at=video.updated_at.isoformat(),
        playable_at=_timestamp(video.playable_at),
        completed_at=_timestamp(video.completed_at),
        specs=specs(video.media) if video.media else None,
        storage_info=storage_info(video),
        renditions=[_rendition(output, video, base_url) for output in renditions],
        hls=file_url(video, "master.m3u8", base_url) if playlists.variants(video) else None,
        poster=_output_url(video, OutputName.POSTER, "poster.jpg", base_url),
        poster_time=video.poster_time_s,
        blurhash=video.blurhash or None,
        sprite=_output_url(video, OutputName.SPRITE, "sprite.jpg", base_url),
        sprite_vtt=_output_url(video, OutputName.SPRITE, "sprite.vtt", base_url),
        warnings=list(video.warnings),
        fixes=_listed_fixes(video.fixes),
        links=links(video, base_url),
        **_given(video),
        **_error_fields(video),
    )


def specs(media: Media) -> Specs:
    return Specs(
        width=media.width_px,
        height=media.height_px,
        fps=media.frame_rate,
        duration=media.duration_s,
        codec=media.codec,
        profile=media.profile,
        level=media.level,
        pixel_format=media.pixel_format,
        color_primaries=media.color_primaries or None,
        color_transfer=media.color_transfer or None,
        color_space=media.color_space or None,
        color_range=media.color_range or None,
        rotation=media.rotation,
        bit_rate=media.bit_rate,
        frame_count=media.frame_count,
        audio=_audio_specs(media.audio) if media.audio else None,
    )


def _audio_specs(audio: Audio) -> AudioSpecs:
    return AudioSpecs(
        codec=audio.codec,
        profile=audio.profile,
        channels=audio.channels,
        sample_rate=audio.sample_rate_hz,
        bit_rate=audio.bit_rate,
        duration=audio.duration_s,
        loudness_lufs=audio.loudness_lufs,
        true_peak_dbtp=audio.true_peak_dbtp,
    )


def storage_info(video: Video) -> StorageInfo | None:
    if video.source is None:
        return None
    return StorageInfo(
        content_type=video.content_type,
        size_bytes=video.source.size_bytes,
        etag=video.source.etag,
        uploaded_at=video.source.stored_at.isoformat(),
        outputs=len(video.outputs),
        outputs_bytes=sum(output.size_bytes for output in video.outputs),
    )


def ending(video: Video) -> Ending | None:
    """Why the video was rejected, failed or expired; None for any other."""
    if video.problems:
        rejection = Rejected(video.problems)
        return Ending(
            error=str(rejection),
            suggestions=list(rejection.suggestions),
            suggestions_for=rejection.suggestions_for,
            code=rejection.code,
            violations=list(video.problems),
        )
    return ENDINGS.get(video.state)  # video.failure is for operators: it may hold what a tool printed


def _listed_fixes(fixes: Sequence[Fix]) -> list[Fix] | UnsetType:
    return list(fixes) or UNSET


def _given(video: Video) -> dict[str, Any]:
    """The app's own fields, if it sent any."""
    return {
        "external_id": video.external_id or UNSET,
        "custom": json.loads(video.custom) if video.custom else UNSET,
    }


def _error_fields(video: Video) -> dict[str, Any]:
    """The fields of a status and of ``Metadata`` that only a video with an ``ending`` has."""
    ended = ending(video)
    return {name: value for name, value in asdict(ended).items() if value is not UNSET} if ended else {}


def links(video: Video, base_url: str) -> Links:
    base = location(video, base_url)
    return Links(status=f"{base}/status", metadata=f"{base}/metadata")


def location(video: Video, base_url: str) -> str:
    """The video as a resource: GET is its metadata, DELETE deletes it."""
    return f"{base_url}/videos/{video.id}"


def video_url(video: Video, base_url: str) -> str:
    """The stable playback URL, the same from the ticket until the video is deleted."""
    return file_url(video, "video.mp4", base_url)


def file_url(video: Video, name: str, base_url: str) -> str:
    return f"{base_url}/videos/{video.id}/{name}{passes.query(video)}"


def absolute(url: str, base_url: str) -> str:
    """A URL of storage for clients. Of local storage it is a path: the API and it have one address."""
    return f"{base_url}{url}" if url.startswith("/") else url


def _output_url(video: Video, output: OutputName, name: str, base_url: str) -> str | None:
    return file_url(video, name, base_url) if video.output(output) else None


def _timestamp(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _rendition(output: Output, video: Video, base_url: str) -> Rendition:
    duration_s = video.media.duration_s if video.media else 0
    return Rendition(
        name=output.name,
        codec=output.codec,
        codecs=output.segments.codecs if output.segments else None,
        width=output.width_px,
        height=output.height_px,
        size_bytes=output.size_bytes,
        bit_rate=round(output.size_bytes * 8 / duration_s) if duration_s else None,
        url=file_url(video, f"{output.name}.mp4", base_url),
    )
