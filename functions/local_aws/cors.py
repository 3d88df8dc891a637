"""CORS: which pages may read an answer. API Gateway and S3 each have rules of their own."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from videos import api

STORAGE = "/storage/"
READING = ("GET", "HEAD")
# What a page may read of a file besides its bytes, as in template.yaml.
FILE_HEADERS = ["ETag", "Accept-Ranges", "Content-Length", "Content-Range"]


class Cors:
    """The rules of template.yaml: pages of ``allowed_origins`` ask and send, any page plays.

    A signed URL is what permits to read a file. And a browser that followed our redirect to it
    does not tell of which page it is: the origin is then "null".
    """

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str]) -> None:
        def rule(origins: Sequence[str], exposed: Sequence[str]) -> CORSMiddleware:
            return CORSMiddleware(
                app,
                allow_origins=origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=exposed,
                max_age=86400,
            )

        self._ask = rule(allowed_origins, api.EXPOSED_HEADERS)
        self._send = rule(allowed_origins, ["ETag"])
        self._play = rule(["*"], FILE_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._rule(scope)(scope, receive, send)

    def _rule(self, scope: Scope) -> CORSMiddleware:
        if scope["type"] != "http" or not scope["path"].startswith(STORAGE):
            return self._ask
        method = Headers(scope=scope).get("access-control-request-method", scope["method"])
        return self._play if method in READING else self._send
