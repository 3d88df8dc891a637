"""Authentication: verifies a bearer token (JWT) and derives the owner's id from it.

The issuer's keys are found by OpenID Connect discovery. PyJWT is imported with the first token, so that
a service without authentication does not pay for it.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from videos.errors import BadToken, ExpiredToken, NoToken, Unavailable
from videos.telemetry.logs import logger

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = ("RS256", "ES256")  # a token's own choice could be "none", or HS256 with a public key
MAX_TOKEN_CHARACTERS = 8192  # API Gateway takes 10 KB of headers in all
MAX_SUBJECT_CHARACTERS = 255  # OpenID Connect's limit
LEEWAY_S = 10  # for a difference between the issuer's clock and this one
FRESH_FOR_S = 600  # then the keys are fetched again, so that a withdrawn key stops working
KEPT_FOR_S = 24 * 3600  # how long known keys are used while the issuer does not answer
PAUSE_S = 30  # between fetches, so that made-up key ids cannot flood the issuer
PAUSE_WITHOUT_KEYS_S = 5
TIMEOUT_S = 3
MAX_DOCUMENT_BYTES = 256 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """Admits requests that have a token of the issuer for this audience."""

    audience: str
    keys: "Keys"

    def owner(self, authorization: str) -> str:
        """The owner id of a request, from its Authorization header.

        A hash of issuer and subject: safe as a key and in a log, and nobody inherits videos when the
        issuer changes.

        Raises:
            NoToken: the header has no bearer token.
            BadToken: the token is malformed, not signed by the issuer, or for another audience.
            ExpiredToken: the token has expired.
            Unavailable: the issuer's keys are not known and cannot be fetched now.
        """
        import jwt

        token = _token(authorization)
        issuer = self.keys.issuer
        try:
            claims = jwt.decode(
                token,
                self.keys.find(jwt.get_unverified_header(token).get("kid")),
                ALGORITHMS,
                audience=self.audience,
                issuer=(issuer, f"{issuer}/"),  # Auth0's ends with a slash, settings often without
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise self._error(error) from None
        subject: str = claims["sub"]
        if not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS:
            raise BadToken("The token's sub is empty or too long.", suggestions=_ASK_OPERATOR)
        return hashlib.sha256(f"{issuer}\n{subject}".encode(errors="surrogatepass")).hexdigest()

    def _error(self, error: Exception) -> BadToken:
        """PyJWT's error as ours. Its text repeats nothing of the token."""
        import jwt

        match error:
            case jwt.ExpiredSignatureError():
                return ExpiredToken("The token has expired.", suggestions=["Get a new one and try again."])
            case jwt.ImmatureSignatureError():
                message, suggestion = (
                    "The token is not valid yet.",
                    "Check the issuer's clock.",
                )
            case jwt.InvalidAudienceError():
                message = "The token is for another audience."
                suggestion = f"Request a token whose aud is {self.audience}."
            case jwt.InvalidIssuerError():
                message, suggestion = "The token is from another issuer.", f"Sign in at {self.keys.issuer}."
            case jwt.MissingRequiredClaimError(claim=claim):
                message = f"The token has no {claim} claim."
                suggestion = "Send a token with exp, iss, aud and sub; with Cognito, that is the ID token."
            case jwt.InvalidAlgorithmError():
                message = "The token's signing algorithm is not accepted."
                suggestion = f"Configure the issuer to sign with one of {', '.join(ALGORITHMS)}."
            case jwt.InvalidSignatureError():
                message, suggestion = (
                    "The token's signature is invalid.",
                    "Send the token as it was issued.",
                )
            case _:
                message, suggestion = "The token is malformed.", "Send the token as it was issued."
        return BadToken(message, suggestions=[suggestion])


class Keys:
    """An issuer's public keys: fetched on first use and cached. Fetched again when they are older
    than ``FRESH_FOR_S``, or for a key id that is not among them."""

    def __init__(self, issuer: str, *, now: Callable[[], float] = time.time) -> None:
        """Raises ValueError if the issuer is not an https:// URL, or http:// on loopback."""
        self.issuer = _trusted(issuer).rstrip("/")
        self._now = now
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = self._next_fetch_at = 0.0
        self._fetching = Lock()

    def find(self, key_id: str | None) -> "PyJWK":
        """The key with this id.

        Raises:
            BadToken: the issuer publishes no such key.
            Unavailable: none of its keys is known, or all are older than ``KEPT_FOR_S``.
        """
        with self._fetching:
            now = self._now()
            key = self._keys.get(key_id or "")
            if now >= self._next_fetch_at and (not key or now - self._fetched_at > FRESH_FOR_S):
                self._fetch(now)
                key = self._keys.get(key_id or "")
            if not self._keys or now - self._fetched_at > KEPT_FOR_S:
                raise Unavailable(
                    "The token issuer does not answer.",
                    suggestions=["Try again in a few seconds; your token may be fine."],
                )
        if not key:
            raise BadToken(
                "The token is signed with a key that its issuer does not publish.",
                suggestions=["Get a new token. If the issuer has just changed its keys, wait half a minute."],
            )
        return key

    def _fetch(self, now: float) -> None:
        """Replace the keys; keep them if the issuer does not answer, or answers something invalid."""
        import jwt

        self._next_fetch_at = now + (PAUSE_S if self._keys else PAUSE_WITHOUT_KEYS_S)
        try:
            document = _get(f"{self.issuer}/.well-known/openid-configuration")
            if str(document.get("issuer")).rstrip("/") != self.issuer:
                raise ValueError("the discovery document names another issuer")
            published = jwt.PyJWKSet.from_dict(_get(_trusted(str(document.get("jwks_uri")))))
        except (OSError, HTTPException, ValueError, RecursionError, jwt.PyJWTError) as error:
            logger.warning("fetching the issuer's keys failed", reason=repr(error))
            return
        self._keys = {
            key.key_id: key
            for key in published
            if key.key_id and key.algorithm_name in ALGORITHMS and key.public_key_use in ("sig", None)
        }
        self._fetched_at = now
        self._next_fetch_at = now + PAUSE_S


def _token(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken(
            "Authentication required.",
            suggestions=["Sign in, and send the header Authorization: Bearer <token>."],
        )
    token = token.strip(" ")
    if len(token) > MAX_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
        raise BadToken(
            "The token is malformed.",
            suggestions=[f"Send a JWT as it was issued, of at most {MAX_TOKEN_CHARACTERS} characters."],
        )
    return token


def _trusted(url: str) -> str:
    """``url``, if it is https:// or on loopback, so that nobody can impersonate it. Raises ValueError."""
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        return url
    raise ValueError(f"{url[:200]!r} is not an https:// URL")


def _get(url: str) -> dict[str, Any]:
    """The JSON object at ``url``, of at most ``MAX_DOCUMENT_BYTES``. Follows no redirects."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(connect(parts.netloc.rpartition("@")[2], timeout=TIMEOUT_S)) as connection:
        connection.request("GET", parts._replace(scheme="", netloc="", fragment="").geturl())
        answer = connection.getresponse()
        body = answer.read(MAX_DOCUMENT_BYTES + 1)
    if answer.status != 200 or len(body) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"{url[:200]!r} answers {answer.status} with {len(body)} bytes")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url[:200]!r} is not a JSON object")
    return document


_ASK_OPERATOR = ["Operator: compare the issuer's tokens with docs/api.md."]
