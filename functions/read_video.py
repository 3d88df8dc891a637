"""GET /videos/{id}/…: where a video is on its way, what we know of it, and its files. DELETE /videos/{id}.

GET /videos: those of whoever is asking. Files are answered with a short-lived signed URL; playlists
as they are, with such URLs in them.
"""

from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos import passes, playlists, steps, views
from videos.api import asker, base_url, make_api, no_such_route
from videos.errors import BadRequest, NotPlayable, UnknownRoute, VideoError
from videos.logs import logged, logger
from videos.model import Output, Video
from videos.wiring import http_settings, service

app = make_api(http_settings().allowed_origins)

# What plays everywhere first. A copy of the upload stands in while the rest is being made.
BEST_FIRST = ("720p", "720p-turned", "720p-hevc")
FILES = {
    "video.mp4": BEST_FIRST,
    "master.m3u8": playlists.LADDER,
    "poster.jpg": ("poster",),
    "sprite.jpg": ("sprite",),
    "sprite.vtt": ("sprite",),
    **{f"{name}.mp4": (name,) for name in (*BEST_FIRST, "540p", "360p")},
    **{f"{name}.m3u8": (name,) for name in playlists.LADDER},
}
HLS = "application/vnd.apple.mpegurl"
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}  # there are passes in the URLs
PAGE = "20"  # videos, unless another limit is asked for


@app.get("/videos")
def list_videos() -> Response[Any]:
    owner = _owner()
    if not owner:
        raise UnknownRoute(
            "There is no list while access is open: the videos are nobody's.",
            suggestions=[
                "Whoever runs the service: set JwtIssuer and JwtAudience, or JWT_ISSUER and JWT_AUDIENCE."
            ],
        )
    asked = app.current_event.query_string_parameters
    try:
        limit = int(asked.get("limit", PAGE))
    except ValueError:
        raise BadRequest("limit is no number.", suggestions=[f"Leave it out for {PAGE}."]) from None
    found = steps.list_videos(owner, service(), limit=limit, after=asked.get("after"))
    answer = views.page(found, base_url(app, http_settings().public_url))
    return Response(
        HTTPStatus.OK, content_types.APPLICATION_JSON, answer, headers={"Cache-Control": "no-store"}
    )


@app.get("/videos/<video_id>/status")
def read_status(video_id: str) -> Response[Any]:
    video = _video(video_id)
    etag = f'"{video.version}"'
    headers: dict[str, str | list[str]] = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in app.current_event.headers.get("if-none-match", ""):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers, body="")
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, views.status(video), headers=headers)


@app.get("/videos/<video_id>/metadata")
def read_metadata(video_id: str) -> dict[str, Any]:
    return views.metadata(_video(video_id), base_url(app, http_settings().public_url))


@app.get("/videos/<video_id>/<file>")
def read_file(video_id: str, file: str) -> Response[Any]:
    """Send the client to a short-lived signed URL of the file, or answer a playlist."""
    if file not in FILES:
        raise no_such_route()
    video = _shown(video_id)
    output = next(filter(None, map(video.output, FILES[file])), None)
    if output is None:
        raise _not_there(video, file)
    if file == "master.m3u8":
        return _text(HLS, playlists.master(video, passes.query(video)))
    url = _signed_url(output)
    if file.endswith(".m3u8") and output.segments:
        return _text(HLS, playlists.media(output.segments, url))
    if file.endswith(".vtt") and output.sheet and video.media:
        return _text("text/vtt", playlists.previews(output.sheet, video.media.duration_s, url))
    return Response(HTTPStatus.FOUND, headers={"Location": url, **PRIVATE}, body="")


@app.delete("/videos/<video_id>")
def delete_video(video_id: str) -> Response[Any]:
    steps.delete_video(video_id, service(), _owner())
    logger.info("deleted")
    return Response(HTTPStatus.NO_CONTENT, body="")


def _owner() -> str:
    return asker(app, http_settings().access)


def _video(video_id: str) -> Video:
    return steps.read_video(video_id, service(), _owner())


def _shown(video_id: str) -> Video:
    """A video to whoever has a pass to it, or may see it anyway."""
    if shown := app.current_event.query_string_parameters.get("pass"):
        video = service().videos.get(steps.known_id(video_id))
        passes.check(video, shown)
        return video
    return _video(video_id)


def _text(content_type: str, text: str) -> Response[Any]:
    return Response(HTTPStatus.OK, content_type, text, headers={**PRIVATE})


def _signed_url(output: Output) -> str:
    return service().storage.download_url(
        output.key, content_type=output.content_type, expires_in_s=service().links_last_s
    )


def _not_there(video: Video, file: str) -> VideoError:
    if ending := views.ending(video):
        return NotPlayable(
            f"There is no {file}: {ending['error']}", suggestions=ending["suggestions"], state=video.state
        )
    if video.finished:
        return UnknownRoute(
            f"This video has no {file}.", suggestions=["GET …/metadata lists the renditions it has."]
        )
    wanted = "state is completed" if video.playable else "playable is true"
    return NotPlayable(
        f"There is no {file} yet; the video is {video.state}.",
        suggestions=[f"Ask GET /videos/{video.id}/status until {wanted}."],
        state=video.state,
    )


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
