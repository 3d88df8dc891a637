"""By which address a client has called. Links and tickets carry it, so that a phone can follow them."""

import ipaddress
import re
import socket
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import Scope

# What Android's emulator and Genymotion call the loopback of the machine that they run on.
EMULATOR_HOSTS = frozenset({"10.0.2.2", "10.0.3.2"})
HTTP_PORT = 80
# Addresses for documentation, which no machine has (RFC 5737, RFC 3849).
ELSEWHERE = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}


class Addresses:
    """The base of every URL in an answer: ``public_url`` if set, else the address that the client called.

    A Host header is believed only if it names an address that we listen on: ``localhost``, the one that the
    connection came in at, or one of ``names``, which an operator says are ours; and our port. For any other,
    the base is the address that the connection came in at.
    """

    def __init__(self, public_url: str = "", names: Iterable[str] = ()) -> None:
        self._public_url = public_url
        self._names = {"localhost", *map(str.lower, names)} - {"*"}

    def base_url(self, scope: Scope) -> str:
        if self._public_url:
            return self._public_url
        ours, port = scope["server"]
        ours = ours.partition("%")[0]  # of an IPv6 address on one link
        host, called_port = split_authority(Headers(scope=scope).get("host", ""))
        is_ours = host == ours or host in self._names or (host in EMULATOR_HOSTS and is_loopback(ours))
        return url(host if is_ours and called_port == port else ours, port)


def url(host: str, port: int) -> str:
    """``host`` may be an IPv6 address."""
    return f"http://{f'[{host}]' if ':' in host else host}{f':{port}' if port != HTTP_PORT else ''}"


def split_authority(authority: str) -> tuple[str, int]:
    """The name or address in the value of a Host header, in lower case, and the port; "" if malformed."""
    matched = re.fullmatch(r"(\[[^\[\]]+\]|[^\[\]:@/]+)(?::([0-9]{0,5}))?", authority)
    if not matched:
        return "", 0
    return matched[1].strip("[]").lower(), int(matched[2] or HTTP_PORT)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_any(host: str) -> bool:
    """Whether it stands for every address of this machine."""
    return is_address(host) and ipaddress.ip_address(host).is_unspecified


def in_network(family: socket.AddressFamily) -> str:
    """This machine's address in its network; "" without a network."""
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((ELSEWHERE[family], 9))  # sends nothing, but chooses what something would be sent from
        address: str = sock.getsockname()[0]
        return address
    return ""
