"""One HTTP POST to an address that somebody else chose: bounded in time and size, and never to inside.

The name is resolved once, every address is checked, and the connection goes to what was checked: a name that
resolves to something else a moment later changes nothing. TLS is verified against the name. Redirects are not
followed, and proxies of the environment are not used.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http.client import HTTPConnection, HTTPException
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from threading import Event, Thread, Timer
from typing import Any
from urllib.parse import urlsplit

from videos.policy import CALL_TIMEOUT_S, CONNECT_TIMEOUT_S

MAX_ANSWER_BYTES = 64 * 1024  # that are read, and thrown away: a server may be irritated if nobody reads
MIN_CONNECT_S = 1.0
# Beside what Python calls private: all of IPv6 but 2000::/3, such as NAT64 and mapped addresses; what else
# embeds an address of IPv4; and what old versions of Python do not know.
_UNICAST = IPv6Network("2000::/3")
_SPECIAL = tuple(map(ip_network, ("192.0.0.0/24", "2001::/23", "2002::/16", "3fff::/20")))
_Address = tuple[socket.AddressFamily, Any]  # as a socket connects to it


class CallFailed(Exception):
    """There was no answer; one sentence says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where calls go, taken apart from its URL."""

    secure: bool
    host: str
    port: int
    path: str
    allows_private: bool

    @property
    def authority(self) -> str:
        """For the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of an answer: its status, and its header ``Retry-After``."""

    status: int
    retry_after: str = ""

    def asks_for_s(self, now: datetime) -> int:
        """How long the caller is asked to wait; 0 if it is not, or if that is neither seconds nor a date."""
        if re.fullmatch("[0-9]{1,18}", self.retry_after):
            return int(self.retry_after)
        try:
            until = parsedate_to_datetime(self.retry_after)
        except ValueError:
            return 0
        return max(0, round((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()))


def read_target(url: str, *, allows_private: bool) -> Target:
    """Raises ValueError if no call can go to ``url``; "it …" says why."""
    if not url.isascii() or any(character <= " " or character in '\\\x7f"<>' for character in url):
        raise ValueError("it holds a character that a URL has not")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is not one") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("it does not begin with https://")
    if parts.scheme == "http" and not allows_private:
        raise ValueError("it must begin with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it holds a user's name or password")
    if parts.fragment or not parts.hostname:
        raise ValueError("it has a fragment, or no host")
    secure = parts.scheme == "https"
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return Target(secure, parts.hostname, port or (443 if secure else 80), path, allows_private)


def post(
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
    *,
    connect_s: float = CONNECT_TIMEOUT_S,
    within_s: float = CALL_TIMEOUT_S,
) -> Answer:
    """Send ``body`` and return what is kept of the answer.

    Args:
        connect_s: for the name and for the connection, each.
        within_s: for everything together, however slowly the answer comes.

    Raises:
        CallFailed: the address is not allowed, or nothing answered in time.
    """
    ends = time.monotonic() + within_s
    sock = _connect(_resolve(target, connect_s), connect_s)
    sock.settimeout(within_s)  # of each read; all of them end when the alarm goes off
    timed_out = Event()

    def cut_off() -> None:
        timed_out.set()
        with suppress(OSError):  # it has ended meanwhile
            # The shutdown of TLS is not for other threads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    alarm = Timer(max(0.0, ends - time.monotonic()), cut_off)
    alarm.daemon = True
    try:
        if target.secure:
            sock = _tls().wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
        alarm.start()
        return _exchange(target, sock, body, headers, timed_out)
    except (OSError, HTTPException, ValueError) as error:  # the last, of a name that TLS does not take
        if timed_out.is_set() or isinstance(error, TimeoutError):
            raise CallFailed(f"It did not answer within {within_s:g} s.") from None
        raise CallFailed(_told(error)) from None
    finally:
        alarm.cancel()
        sock.close()


def _exchange(
    target: Target, sock: socket.socket, body: bytes, headers: Mapping[str, str], timed_out: Event
) -> Answer:
    if isinstance(sock, ssl.SSLSocket):
        sock.do_handshake()
    connection = HTTPConnection(target.host, target.port)
    connection.sock = sock
    told = {"Host": target.authority, "Connection": "close", **headers}
    connection.request("POST", target.path, body, told)
    answer = connection.getresponse()
    if timed_out.is_set():  # in the headers, whose end is then taken for theirs
        raise TimeoutError
    with suppress(OSError, HTTPException):  # the head says it all
        answer.read(MAX_ANSWER_BYTES)
    return Answer(answer.status, answer.headers.get("Retry-After", ""))


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _resolve(target: Target, within_s: float) -> list[_Address]:
    """The addresses of the host, every one of which may be called."""
    found = [(family, address) for family, *_, address in _looked_up(target, within_s)]
    for _, (address, *_) in found:
        if not target.allows_private and not is_public(address):
            raise CallFailed(f"{target.host} is at {address}, which is not a public address.")
    return found


def _looked_up(target: Target, within_s: float) -> list[Any]:
    answer: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            answer.set_result(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except Exception as error:
            answer.set_exception(error)

    Thread(target=look_up, daemon=True).start()  # the resolver knows no timeout of ours
    try:
        return answer.result(within_s)
    except TimeoutError:
        raise CallFailed(f"The name {target.host} was not resolved within {within_s:g} s.") from None
    except (OSError, UnicodeError):
        raise CallFailed(f"The name {target.host} cannot be resolved.") from None


def is_public(text: str) -> bool:
    """Whether an address is one of the internet's: not private, link-local, multicast, another's alias …"""
    address = ip_address(text)
    if any(address in network for network in _SPECIAL) or not address.is_global:
        return False
    return address in _UNICAST if isinstance(address, IPv6Address) else not address.is_multicast


def _connect(addresses: list[_Address], within_s: float) -> socket.socket:
    """A connection to the first of the addresses that takes one; each has its share of the time, a second at
    least: with many of them, a share is less than the way to another continent and back."""
    told = "It has no address."
    ends = time.monotonic() + within_s
    for number, (family, address) in enumerate(addresses):
        left_s = ends - time.monotonic()
        if left_s <= 0:
            break
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(min(left_s, max(MIN_CONNECT_S, left_s / (len(addresses) - number))))
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            told = f"It takes no connection: {_told(error)}"
        else:
            return sock
    raise CallFailed(told)


def _told(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "It does not answer."
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not valid: {error.verify_message}."
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return f"Its answer is not HTTP ({type(error).__name__})."
