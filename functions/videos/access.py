"""Who is asking: a bearer token, verified, made into the id of an owner.

The issuer's keys are found as OpenID Connect has it: its discovery document says where they are.
What verifies is imported with the first token, so that an open service does not pay for it.
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
from videos.logs import logger

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS = ("RS256", "ES256")  # never whatever a token names: "none", or HS256 with a public key
LONGEST_TOKEN = 8192  # characters; API Gateway carries 10 KB of headers in all
LONGEST_SUBJECT = 255  # characters, as OpenID Connect has it
LEEWAY_S = 10  # between the issuer's clock and ours
FRESH_FOR_S = 600  # then keys are fetched again: one that was withdrawn stops working
KEPT_FOR_S = 24 * 3600  # for so long do known keys work while the issuer does not answer
PAUSE_S = 30  # between fetches: a flood of made-up key ids is no flood of these
PAUSE_WITHOUT_KEYS_S = 5
TIMEOUT_S = 3
LARGEST_DOCUMENT_BYTES = 256 * 1024
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """Lets in whoever shows a token of the issuer for this audience."""

    audience: str
    keys: "Keys"

    def owner(self, authorization: str) -> str:
        """The id of who is asking, by a request's Authorization header.

        Made of the issuer and its name for them: harmless as a key and in a log, and nobody
        inherits videos when the issuer is changed.

        Raises:
            NoToken: the header holds none.
            BadToken: the token is not the issuer's, or not for us.
            ExpiredToken: it was.
            Unavailable: no key of the issuer is known, and none can be had now.
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
                issuer=(issuer, f"{issuer}/"),  # Auth0's ends so, and settings often do not
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise self._refusal(error) from None
        subject: str = claims["sub"]
        if not 0 < len(subject) <= LONGEST_SUBJECT:
            raise BadToken("The token has a sub that is empty or too long.", suggestions=_ASK_OPERATOR)
        return hashlib.sha256(f"{issuer}\n{subject}".encode(errors="surrogatepass")).hexdigest()

    def _refusal(self, error: Exception) -> BadToken:
        """Why a token is refused, in our words: none of the token's own are repeated."""
        import jwt

        match error:
            case jwt.ExpiredSignatureError():
                return ExpiredToken("The token has expired.", suggestions=["Get a new one and try again."])
            case jwt.ImmatureSignatureError():
                message, suggestion = (
                    "The token is not good yet.",
                    "Compare the issuer's clock with the time.",
                )
            case jwt.InvalidAudienceError():
                message = "The token is for another audience."
                suggestion = f"Ask the issuer for a token whose aud is {self.audience}."
            case jwt.InvalidIssuerError():
                message, suggestion = "The token is another issuer's.", f"Sign in at {self.keys.issuer}."
            case jwt.MissingRequiredClaimError(claim=claim):
                message = f"The token has no {claim}."
                suggestion = "Send one that has exp, iss, aud and sub; with Cognito, that is the ID token."
            case jwt.InvalidAlgorithmError():
                message = "The token is signed in a way that is not accepted."
                suggestion = f"Let the issuer sign with one of {', '.join(ALGORITHMS)}."
            case jwt.InvalidSignatureError():
                message, suggestion = (
                    "The token's signature is not its issuer's.",
                    "Send it as it was issued.",
                )
            case _:
                message, suggestion = "The token cannot be read.", "Send it as it was issued."
        return BadToken(message, suggestions=[suggestion])


class Keys:
    """An issuer's public keys: fetched when one is wanted, then kept; fetched again when they have
    become old, or when one is wanted that is not among them."""

    def __init__(self, issuer: str, *, now: Callable[[], float] = time.time) -> None:
        """Raises ValueError if what the issuer says could come from anybody."""
        self.issuer = _trusted(issuer).rstrip("/")
        self._now = now
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at = self._next_fetch_at = 0.0
        self._one_at_a_time = Lock()

    def find(self, key_id: str | None) -> "PyJWK":
        """Raises BadToken if the issuer has no such key, Unavailable if we know none of its keys."""
        with self._one_at_a_time:
            now = self._now()
            found = self._keys.get(key_id or "")
            if now >= self._next_fetch_at and (not found or now - self._fetched_at > FRESH_FOR_S):
                self._fetch(now)
                found = self._keys.get(key_id or "")
            if not self._keys or now - self._fetched_at > KEPT_FOR_S:
                raise Unavailable(
                    "The issuer of tokens does not answer.",
                    suggestions=["Try again in a few seconds; your token may be fine."],
                )
        if not found:
            raise BadToken(
                "The token is signed with a key that its issuer does not publish.",
                suggestions=["Get a new one. If the issuer has just changed its keys, wait half a minute."],
            )
        return found

    def _fetch(self, now: float) -> None:
        """Replace the keys; leave them as they are if the issuer does not answer, or makes no sense."""
        import jwt

        self._next_fetch_at = now + (PAUSE_S if self._keys else PAUSE_WITHOUT_KEYS_S)
        try:
            document = _get(f"{self.issuer}/.well-known/openid-configuration")
            if str(document.get("issuer")).rstrip("/") != self.issuer:
                raise ValueError("its discovery document is another issuer's")
            published = jwt.PyJWKSet.from_dict(_get(_trusted(str(document.get("jwks_uri")))))
        except (OSError, HTTPException, ValueError, RecursionError, jwt.PyJWTError) as error:
            logger.warning("the issuer's keys cannot be had", reason=repr(error))
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
            "This needs a token.", suggestions=["Sign in, and send the header Authorization: Bearer <token>."]
        )
    token = token.strip(" ")
    if len(token) > LONGEST_TOKEN or not _TOKEN.fullmatch(token):
        raise BadToken(
            "The token cannot be read.",
            suggestions=[f"Send a JWT as it was issued, of at most {LONGEST_TOKEN} characters."],
        )
    return token


def _trusted(url: str) -> str:
    """``url``, if nobody can answer in its stead: by TLS, or on this machine. Raises ValueError."""
    parts = urlsplit(url)
    if parts.hostname and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        return url
    raise ValueError(f"{url[:200]!r} is no https:// URL")


def _get(url: str) -> dict[str, Any]:
    """The JSON object at ``url``, of a bounded size, without following redirects."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(connect(parts.netloc.rpartition("@")[2], timeout=TIMEOUT_S)) as connection:
        connection.request("GET", parts._replace(scheme="", netloc="", fragment="").geturl())
        answer = connection.getresponse()
        body = answer.read(LARGEST_DOCUMENT_BYTES + 1)
    if answer.status != 200 or len(body) > LARGEST_DOCUMENT_BYTES:
        raise ValueError(f"{url[:200]!r} answers {answer.status} and {len(body)} bytes")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError(f"{url[:200]!r} is no JSON object")
    return document


_ASK_OPERATOR = ["Whoever runs the service: compare the issuer's tokens with the README."]
