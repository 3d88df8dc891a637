"""CORS: which web pages may read an answer. API Gateway and S3 each have their own rules."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from videos.web import api

STORAGE = "/storage/"
READ_METHODS = ("GET", "HEAD")
UPLOAD_HEADERS = ["ETag", "Location"]  # of the answer to an upload, as in template.yaml
# The headers of a file that a page may read, as in template.yaml.
FILE_HEADERS = ["ETag", "Accept-Ranges", "Content-Length", "Content-Range"]


def is_allowed(origin: str, allowed_origins: Sequence[str]) -> bool:
    return "*" in allowed_origins or bool(re.fullmatch(_pattern(allowed_origins), origin))


def _pattern(allowed_origins: Sequence[str]) -> str:
    """A regular expression for origins; a ``:*`` at the end of one is any port or none."""
    return "|".join(
        re.escape(origin.removesuffix(":*")) + (r"(:\d+)?" if origin.endswith(":*") else "")
        for origin in allowed_origins
    )


class Cors:
    """The rules of template.yaml: pages of ``allowed_origins`` call the API and upload, any page plays.

    Playback needs no check of the origin, since a signed URL is the permission. It could not have
    one either: after our redirect to that URL, a browser sends the origin "null".
    """

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str]) -> None:
        def policy(origins: Sequence[str], exposed: Sequence[str]) -> CORSMiddleware:
            return CORSMiddleware(
                app,
                allow_origins=["*"] if "*" in origins else (),
                allow_origin_regex=_pattern(origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=exposed,
                max_age=86400,
            )

        self._api = policy(allowed_origins, api.EXPOSED_HEADERS)
        self._upload = policy(allowed_origins, UPLOAD_HEADERS)
        self._playback = policy(["*"], FILE_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._policy(scope)(scope, receive, send)

    def _policy(self, scope: Scope) -> CORSMiddleware:
        if scope["type"] != "http" or not scope["path"].startswith(STORAGE):
            return self._api
        method = Headers(scope=scope).get("access-control-request-method", scope["method"])
        return self._playback if method in READ_METHODS else self._upload
