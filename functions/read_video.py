"""GET /videos/{id}, its metadata, and /videos/{id}/…: its status and files. DELETE /videos/{id}.

GET /videos: the caller's videos. Files redirect to a short-lived signed URL; playlists are
returned inline, with signed URLs in them. GET /openapi.json and /docs: how to call all this.
"""

from http import HTTPStatus
from math import ceil
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response, content_types
from aws_lambda_powertools.utilities.typing import LambdaContext

from videos.errors import BadRequest, NotPlayable, UnknownRoute, VideoError
from videos.model import Output, OutputName, Video
from videos.steps.read_video import MAX_PAGE, delete_video, list_videos, parse_id, read_video
from videos.telemetry.logs import logged, logger
from videos.web import answers, passes, playlists, views
from videos.web.api import authenticated_owner, base_url, make_api, no_such_route
from videos.wiring import http_settings, service

app = make_api(http_settings().allowed_origins, http_settings().public_url)

# The most compatible first. Until that exists, the stream copy is served.
BEST_FIRST = (OutputName.P720, OutputName.P720_TURNED, OutputName.P720_HEVC)
FILES = {
    "video.mp4": BEST_FIRST,
    "master.m3u8": playlists.LADDER,
    "poster.jpg": (OutputName.POSTER,),
    "sprite.jpg": (OutputName.SPRITE,),
    "sprite.vtt": (OutputName.SPRITE,),
    **{f"{name}.mp4": (name,) for name in (*BEST_FIRST, OutputName.P540, OutputName.P360)},
    **{f"{name}.m3u8": (name,) for name in playlists.LADDER},
}
HLS = "application/vnd.apple.mpegurl"
PRIVATE = {"Referrer-Policy": "no-referrer"}  # the URLs contain passes
DEFAULT_LIMIT = "20"  # videos a page
WIRE = Path(views.__file__).parent  # `make openapi` writes the documents beside the types
# The page is plain text and style, and asks for nothing else.
PLAIN = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", **PRIVATE}


@app.read("/openapi.json")
def get_document() -> Response[str]:
    """Read now, not at import: no cold start pays for it."""
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, (WIRE / "openapi.json").read_text())


@app.read("/docs")
def get_docs() -> Response[str]:
    html = f"{content_types.TEXT_HTML}; charset=utf-8"
    return Response(HTTPStatus.OK, html, (WIRE / "docs.html").read_text(), headers={**PLAIN})


@app.read("/videos")
def get_videos() -> Response[answers.VideoPage]:
    owner = _owner()
    if not owner and not http_settings().lists_everybodys:
        raise UnknownRoute(
            "Listing needs authentication, and this deployment has none configured.",
            suggestions=[
                "Operator: set JwtIssuer and JwtAudience (AWS), or JWT_ISSUER and JWT_AUDIENCE (local)."
            ],
        )
    query = app.current_event.query_string_parameters
    try:
        limit = int(query.get("limit", DEFAULT_LIMIT))
    except ValueError:
        raise BadRequest(
            f"limit must be an integer from 1 to {MAX_PAGE}.",
            suggestions=[f"Send a limit from 1 to {MAX_PAGE}, or omit it for {DEFAULT_LIMIT}."],
        ) from None
    page = list_videos(owner, service(), limit=limit, after=query.get("after"))
    body = views.page(page, _base_url(), service().now())
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, body)


@app.read("/videos/<video_id>/status")
def get_status(video_id: str) -> Response[Any]:
    video = _video(video_id)
    etag = f'"{video.version}"'
    # Without an owner there is nothing private in it, and a browser's cache may revalidate it.
    cache = "no-store" if video.owner else "no-cache"
    headers: dict[str, str | list[str]] = {"ETag": etag, "Cache-Control": cache}
    now = service().now()
    if wait_ms := views.retry_after_ms(video, now):
        headers["Retry-After"] = str(ceil(wait_ms / 1000))
    if etag in app.current_event.headers.get("if-none-match", ""):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers, body="")
    body = views.status(video, now)
    return Response(HTTPStatus.OK, content_types.APPLICATION_JSON, body, headers=headers)


@app.read("/videos/<video_id>")
@app.read("/videos/<video_id>/metadata")
def get_metadata(video_id: str) -> answers.Metadata:
    return views.metadata(_video(video_id), _base_url())


@app.read("/videos/<video_id>/<file>")
def get_file(video_id: str, file: str) -> Response[Any]:
    """Redirect to a short-lived signed URL of the file, or return a playlist.

    A URL that is signed for GET refuses HEAD, so a HEAD request gets one of its own.
    """
    if file not in FILES:
        raise no_such_route()
    video = _video_by_pass_or_owner(video_id)
    output = next(filter(None, map(video.output, FILES[file])), None)
    if output is None:
        raise _missing_file(video, file)
    if file == "master.m3u8":
        return _text(HLS, playlists.master(video, passes.query(video)))
    is_playlist = file.endswith((".m3u8", ".vtt"))
    url = _signed_url(output, "GET" if is_playlist else app.current_event.http_method)
    if file.endswith(".m3u8") and output.segments:
        return _text(HLS, playlists.media(output.segments, url))
    if file.endswith(".vtt") and output.sheet and video.media:
        return _text("text/vtt", playlists.previews(output.sheet, video.media.duration_s, url))
    return Response(HTTPStatus.FOUND, headers={"Location": url, **PRIVATE}, body="")


@app.delete("/videos/<video_id>")
def delete(video_id: str) -> Response[Any]:
    delete_video(video_id, service(), _owner())
    logger.info("deleted")
    return Response(HTTPStatus.NO_CONTENT, body="")


def _owner() -> str:
    return authenticated_owner(app, http_settings().access)


def _base_url() -> str:
    return base_url(app, http_settings().public_url)


def _video(video_id: str) -> Video:
    return read_video(video_id, service(), _owner())


def _video_by_pass_or_owner(video_id: str) -> Video:
    """The video, if the request has a valid pass or comes from its owner."""
    if link_pass := app.current_event.query_string_parameters.get("pass"):
        video = service().videos.get(parse_id(video_id))
        passes.check(video, link_pass)
        return video
    return _video(video_id)


def _text(content_type: str, text: str) -> Response[Any]:
    return Response(HTTPStatus.OK, content_type, text, headers={**PRIVATE})


def _signed_url(output: Output, method: str) -> str:
    url = service().storage.download_url(
        output.key,
        method="HEAD" if method == "HEAD" else "GET",
        content_type=output.content_type,
        expires_in_s=service().link_ttl_s,
    )
    return views.absolute(url, _base_url())


def _missing_file(video: Video, file: str) -> VideoError:
    if ending := views.ending(video):
        return NotPlayable(
            f"{file} is not available: {ending.error}",
            suggestions=ending.suggestions,
            suggestions_for=ending.suggestions_for,
            state=video.state,
        )
    if video.finished:
        return UnknownRoute(
            f"This video has no {file}.",
            suggestions=[f"GET /videos/{video.id}/metadata lists the available renditions."],
        )
    condition = "state is completed" if video.playable else "playable is true"
    return NotPlayable(
        f"{file} is not available yet; the video is {video.state}.",
        suggestions=[f"Poll GET /videos/{video.id}/status until {condition}."],
        state=video.state,
    )


@logged
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
