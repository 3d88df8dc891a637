"""Which requests the local server answers: it has no firewall, and every page in a browser can reach it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from local_aws.addresses import is_address, split_authority
from local_aws.cors import Cors, is_allowed
from videos.errors import ForbiddenHost, ForbiddenOrigin, VideoError
from videos.web import api

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Rejects DNS rebinding and cross-site requests that change something.

    A page can give its own name our address, and is then of the same origin as we are: so Host must
    be ``localhost``, an address, or in ``allowed_hosts`` ("*" is any). A page can send forms
    to us without asking first (CSRF): so Origin must be allowed or ours. Apps and curl send none.
    One GET changes something, too: Companion's, of ``api.REGISTERS``.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], allowed_origins: Sequence[str]) -> None:
        self._app = app
        self._hosts = {"localhost", *map(str.lower, filter(None, allowed_hosts))}
        self._origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._objection(scope, Headers(scope=scope)) if scope["type"] == "http" else None
        await (self._rejection(error, scope["method"]) if error else self._app)(scope, receive, send)

    def _objection(self, scope: Scope, headers: Headers) -> VideoError | None:
        authority = headers.get("host", "")
        (host, _), origin = split_authority(authority), headers.get("origin")
        if "*" not in self._hosts and host not in self._hosts and not is_address(host):
            return ForbiddenHost(
                f"The host {authority[:100]!r} is not allowed.",
                suggestions=[
                    "Use localhost or an IP address.",
                    "Operator: name the host in ALLOWED_HOSTS, such as ALLOWED_HOSTS=laptop.local make run.",
                ],
            )
        if not _may_change(scope["method"], scope["path"]):
            return None
        if origin is None:
            # Of a browser's requests, a GET for a picture or by a link has no Origin, but says whose it is.
            if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
                return None
            origin = "another site"
        if is_allowed(origin, self._origins) or urlsplit(origin).netloc.lower() == authority.lower():
            return None
        return ForbiddenOrigin(
            f"Pages of {origin[:100]!r} may not change anything here.",
            suggestions=[
                "Operator: name the origin in ALLOWED_ORIGINS, "
                "such as ALLOWED_ORIGINS=https://app.example make run."
            ],
        )

    def _rejection(self, error: VideoError, method: str) -> ASGIApp:
        status, body, headers = api.answer(error)
        response = JSONResponse(body, status, headers)
        # Cors itself would answer a preflight, and allow it.
        return response if method == "OPTIONS" else Cors(response, self._origins)


def _may_change(method: str, path: str) -> bool:
    return method not in SAFE_METHODS or (method == "GET" and path == api.REGISTERS)
