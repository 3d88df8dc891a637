"""Signs and verifies the upload tickets and playback links of the local folder.

They enforce S3's conditions and fail with S3's error codes, so that an app that works here works with S3.
``local_server`` serves these URLs.
"""

import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from secrets import token_bytes
from typing import NamedTuple
from urllib.parse import quote, urlencode
from uuid import uuid4

from videos.ports import ONCE, Ticket
from videos.stores.local.disk import make_folder, translate_errors

MAX_PUT_BYTES = 5 * 1024**3  # S3's limit for one PUT
MAX_FORM_BYTES = 64 * 1024  # a form, not counting its file


class Denied(Exception):
    """Storage rejects a request: S3's error ``code``, and a message that names the failed condition."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Permit(NamedTuple):
    """What a verified upload may write: the key, and the size range (inclusive).

    ``may_replace``: also in place of another object.
    """

    key: str
    min_bytes: int
    max_bytes: int
    may_replace: bool = True


def secret(folder: Path) -> bytes:
    """The signing key of this folder: created on first use, stored so that URLs survive a restart."""
    path = folder / "secret"
    with translate_errors():
        if not path.exists():
            make_folder(folder)
            new = folder / f"secret-{uuid4().hex}"
            new.touch(mode=0o600)
            new.write_bytes(token_bytes(32))
            new.rename(path)
        return path.read_bytes()


def already_there(key: str) -> Denied:
    return Denied("PreconditionFailed", f"There is an object {key!r} already, and If-None-Match is *.")


def too_large(max_bytes: int) -> Denied:
    return Denied(
        "EntityTooLarge", f"Your proposed upload exceeds the maximum allowed size of {max_bytes} bytes."
    )


class Tickets:
    """Signs upload tickets and download URLs, and verifies requests.

    Anyone who knows ``secret`` can issue tickets.
    """

    def __init__(self, base_url: str, secret: bytes) -> None:
        self._url = f"{base_url.rstrip('/')}/storage"
        self._secret = secret

    def post(self, key: str, content_type: str, max_bytes: int, expires_at: datetime) -> Ticket:
        """A form ticket for 1 to ``max_bytes`` bytes of this type under ``key``."""
        return Ticket(
            method="POST",
            url=f"{self._url}/",  # ends with a slash as S3's does; Uppy relies on it
            fields=self._post_fields(key, content_type, max_bytes, expires_at),
            expires_at=expires_at,
            max_bytes=max_bytes,
        )

    def put(
        self, key: str, content_type: str, max_bytes: int, exact_bytes: int | None, expires_at: datetime
    ) -> Ticket:
        """A PUT ticket for a raw body of this type under ``key``, of ``exact_bytes`` if given."""
        headers = {"Content-Type": content_type, **ONCE}
        length = {} if exact_bytes is None else {"Content-Length": str(exact_bytes)}
        url = self._signed_url("PUT", key, {**headers, **length}, expires_at.timestamp())
        return Ticket(method="PUT", url=url, headers=headers, expires_at=expires_at, max_bytes=max_bytes)

    def location(self, key: str) -> str:
        """Where an object is; nobody may read it there without a signature."""
        return f"{self._url}/{quote(key)}"

    def get(self, key: str, content_type: str, expires_in_s: int, method: str = "GET") -> str:
        """A URL that serves the object ``key`` as this type, to GET or HEAD."""
        return self._signed_url(method, key, {"Content-Type": content_type}, time.time() + expires_in_s)

    def verify_post(self, fields: Mapping[str, str], *, announced_bytes: int = 0) -> Permit:
        """What an upload form with these ``fields`` (all but the file) may write.

        Args:
            announced_bytes: the form's Content-Length, if it has one.

        Raises:
            Denied: the policy is forged, expired or contradicts the fields, or
                ``announced_bytes`` exceeds its limit.
        """
        sent = {name.lower(): value for name, value in fields.items()}
        policy = sent.pop("policy", "")
        self._verify(sent.pop("x-amz-signature", ""), "POST", policy)
        terms = json.loads(b64decode(policy))
        if datetime.now(UTC) > datetime.fromisoformat(terms["expiration"]):
            raise Denied(
                "AccessDenied", f"Invalid according to Policy: Policy expired at {terms['expiration']}."
            )
        *fixed, (_, min_bytes, max_bytes) = terms["conditions"]
        for name, signed in ((name, value) for condition in fixed for name, value in condition.items()):
            if (value := sent.pop(name.lower(), None)) != signed:
                raise Denied(
                    "AccessDenied",
                    f"Invalid according to Policy: field {name} is {value!r}; the ticket says {signed!r}.",
                )
        if extra := [name for name in sent if not name.startswith("x-ignore-")]:
            raise Denied(
                "AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(extra)}."
            )
        if announced_bytes > max_bytes + MAX_FORM_BYTES:
            raise too_large(max_bytes)
        return Permit(terms["conditions"][0]["key"], min_bytes, max_bytes)

    def verify_put(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Permit:
        """What a PUT to this URL may write. Names in ``headers`` are lower case.

        Raises:
            Denied: the URL is forged or expired, or a header differs from the signed one.
        """
        fixed = self._verify_url("PUT", key, query)
        if "content-length" not in headers:
            raise Denied(
                "MissingContentLength",
                "You must provide the Content-Length HTTP header, not chunked encoding.",
            )
        for name, signed in fixed.items():
            if (value := headers.get(name.lower())) != signed:
                raise Denied(
                    "SignatureDoesNotMatch",
                    f"The header {name} is {value!r}; this URL was signed for {signed!r}. "
                    "Send exactly the headers of the ticket.",
                )
        size_bytes = int(headers["content-length"])
        if size_bytes > MAX_PUT_BYTES:
            raise too_large(MAX_PUT_BYTES)
        return Permit(key, size_bytes, size_bytes, may_replace=not ONCE.items() <= fixed.items())

    def verify_get(self, key: str, query: Mapping[str, str], method: str = "GET") -> str:
        """The content type to serve. Raises Denied if the URL is forged, expired or for another method."""
        return self._verify_url(method, key, query)["Content-Type"]

    def _post_fields(
        self, key: str, content_type: str, max_bytes: int, expires_at: datetime
    ) -> dict[str, str]:
        fixed = {"key": key, "Content-Type": content_type}
        terms = {
            "expiration": expires_at.astimezone(UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "conditions": [
                *({name: value} for name, value in fixed.items()),
                ["content-length-range", 1, max_bytes],
            ],
        }
        policy = b64encode(json.dumps(terms).encode()).decode()
        return {**fixed, "policy": policy, "x-amz-signature": self._sign("POST", policy)}

    def _signed_url(self, method: str, key: str, headers: Mapping[str, str], expires: float) -> str:
        query = {**headers, "expires": str(ceil(expires))}
        signature = self._sign(method, key, query)
        return f"{self.location(key)}?{urlencode({**query, 'signature': signature})}"

    def _verify_url(self, method: str, key: str, query: Mapping[str, str]) -> dict[str, str]:
        """The headers that the URL was signed with."""
        signed = {name: value for name, value in query.items() if name != "signature"}
        self._verify(query.get("signature", ""), method, key, signed)
        if time.time() > int(expires := signed.pop("expires")):
            until = datetime.fromtimestamp(int(expires), UTC).isoformat()
            raise Denied("AccessDenied", f"Request has expired: the URL was valid until {until}.")
        return signed

    def _verify(self, signature: str, *signed: object) -> None:
        if not signature:
            raise Denied("AccessDenied", "Access Denied: the request has no signature.")
        if not hmac.compare_digest(signature.encode(), self._sign(*signed).encode()):
            raise Denied(
                "SignatureDoesNotMatch",
                "The signature does not match: method, key, query or policy changed after signing.",
            )

    def _sign(self, *conditions: object) -> str:
        return hmac.new(self._secret, json.dumps(conditions, sort_keys=True).encode(), "sha256").hexdigest()
