"""Checks of URLs from clients.

A name is resolved once, and the connection uses the checked addresses (transport.py), so that they
cannot change in between.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network

import httpx

from app.errors import InvalidInput, UrlFailed, UrlNotAllowed
from app.outbound.addresses import Address, Network, is_public, parse_address

Lookup = Callable[[str, int], Awaitable[list[str]]]

MAX_URL = 8192  # characters
LOOKUP_SECONDS = 5.0
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HINT = (
    "Use an http(s) URL of a public host. The operator may allow others with the setting "
    "COMFYUI_ALLOW_PRIVATE_URLS."
)


async def look_up(host: str, port: int) -> list[str]:
    """Resolve a name to addresses, in the order in which to try them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """`allow`: hosts, addresses and networks (CIDR) that need not be public; "*" for all."""

    def __init__(self, allow: Sequence[str] = (), *, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._all = "*" in allow
        self._hosts: set[str] = set()
        self._networks: list[Network] = []
        for entry in allow:
            self._allow(entry)

    def check(self, text: str) -> httpx.URL:
        """Return the URL if it may be requested, as far as is known without resolving its host.

        Raises UrlNotAllowed.
        """
        if len(text) > MAX_URL or re.search(r"[\x00-\x20\x7f\\]", text):
            raise refused("It is too long, or has spaces or backslashes in it.")
        try:
            url = httpx.URL(text)
            host, port = url.raw_host.decode("ascii"), url.port
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise refused("It cannot be read.") from error
        if url.scheme not in ("http", "https"):
            raise refused("Its scheme is neither http nor https.")
        if "@" in re.split(r"[/?#]", text.partition("//")[2], maxsplit=1)[0]:
            raise refused("It holds a user name or a password.")
        if port is not None and not 0 < port < 65536:
            raise refused("Its port cannot be.")
        self._check_host(host)
        return url

    async def addresses_of(self, url: httpx.URL) -> list[str]:
        """Resolve the host to the addresses to connect to; all of them must be allowed.

        Raises UrlNotAllowed, and UrlFailed if the name has no address.
        """
        self.check(str(url))
        host = url.raw_host.decode("ascii")
        if (literal := parse_address(host)) is not None:
            return [str(literal)]
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found = await self._lookup(host, url.port or (443 if url.scheme == "https" else 80))
        except (OSError, UnicodeError, TimeoutError) as error:
            raise UrlFailed(f"The host {host!r} cannot be looked up.") from error
        for text in found:
            address = parse_address(text.partition("%")[0])
            if address is None or not self._may_reach(host, address):
                raise refused(f"The host {host!r} has an address that is not public.")
        if not found:
            raise UrlFailed(f"The host {host!r} has no address.")
        return found

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry, strict=False))
        except ValueError:
            self._hosts.add(entry.lower())

    def _check_host(self, host: str) -> None:
        literal = parse_address(host)
        if literal is not None:
            if "%" in host or not self._may_reach(host, literal):
                raise refused(f"The address {host!r} is not public.")
        elif not _HOST.fullmatch(host) or len(host) > 253:
            raise refused("It has no host, or a host that cannot be.")
        elif _NUMBER.fullmatch(host.rpartition(".")[2]):
            # Resolvers accept 0x7f.1 and 2130706433 as addresses; public hosts are not written like
            # that.
            raise refused(f"{host!r} is an odd way to write an address.")

    def _may_reach(self, host: str, address: Address) -> bool:
        return (
            self._all
            or host in self._hosts
            or is_public(address)
            or any(
                address.version == network.version and address in network
                for network in self._networks
            )
        )


def refused(why: str) -> UrlNotAllowed:
    return UrlNotAllowed(f"The URL is not allowed. {why}", hint=_HINT)


def check_allowed(entry: str) -> str:
    """Return an entry of COMFYUI_ALLOW_PRIVATE_URLS in normal form. Raises InvalidInput."""
    text = entry.strip().lower()
    try:
        ip_network(text, strict=False)
    except ValueError:
        if text != "*" and ("/" in text or not _HOST.fullmatch(text)):
            raise InvalidInput(
                f"{entry.rpartition('@')[2]!r} is neither a host nor a network.",
                hint="Write names, addresses or networks such as 10.0.0.0/8, without port or path.",
            ) from None
    return text
