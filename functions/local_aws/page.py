"""The web page of clients/web at ``/``, beside the API. On AWS, any static host serves it."""

from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from local_aws.addresses import Addresses

FOLDER = Path(__file__).parents[2] / "clients" / "web"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}  # not the machine's own table, which may know none of them
ANY_API = "https: http://localhost:* http://127.0.0.1:*"


def routes(addresses: Addresses, folder: Path = FOLDER) -> list[Route]:
    """A route for each file of the page, and ``/``; none where the checkout's ``folder`` is missing."""

    async def answer(request: Request) -> FileResponse:
        base = urlsplit(addresses.base_url(request.scope))
        ours = f"'self' {base.scheme}://{base.netloc}"  # storage has the second, however the page was opened
        file = folder / (request.scope["path"].removeprefix("/") or "index.html")
        # Another API keeps its files on hosts that are not known beforehand.
        hosts = ANY_API if "api" in request.query_params else ""
        headers = {"Content-Security-Policy": _policy(f"{ours} {hosts}".strip()), "Cache-Control": "no-cache"}
        return FileResponse(file, media_type=TYPES[file.suffix], headers={**headers, **SAFE_HEADERS})

    names = sorted(file.name for file in folder.glob("*") if file.suffix in TYPES)
    return [Route(f"/{name}", answer) for name in ["", *names] if names]


SAFE_HEADERS = {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


def _policy(hosts: str) -> str:
    """Scripts and styles are ours alone; bytes come from ``hosts``, and from the picked clip (blob:)."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"connect-src {hosts}; img-src {hosts} blob: data:; media-src {hosts} blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
