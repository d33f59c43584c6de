"""Parsing of server addresses, and detection of addresses that may lead to the same machine."""

import asyncio
import re
import socket
from collections.abc import Iterable
from contextlib import closing
from urllib.parse import unquote, urlsplit

from app.auth.origins import is_loopback
from app.errors import InvalidInput
from app.limits import text_lengths

PORT = 8188  # ComfyUI's default, used if the address has none
_SECURE = 443
_ALL = ("", "0.0.0.0", "::")  # listening on these is on all addresses of a machine
_ADDRESS = re.compile(r"https?://[^/\s?#@]+(/[^\s?#]*)?")
_HOW = "Write HOST:PORT or http(s)://HOST:PORT, such as 127.0.0.1:8188."


def base_url(address: str, *, port: int = PORT) -> str:
    """Return the URL http://host:port for "host:port" or a URL. Raises InvalidInput.

    `port` is the default for http addresses without a path; with a path the default is 80, since
    something other than ComfyUI itself answers there.
    """
    text = address.strip().rstrip("/")
    url = text if "://" in text else f"http://{text}"
    if "@" in url:  # not quoted in the message, as it may contain a password
        raise InvalidInput(
            "The address of a ComfyUI server cannot have a user name or a password in it.",
            hint="Write HOST:PORT, and keep the way there private.",
        )
    scheme, _, rest = url.partition("://")
    url = f"{scheme.lower()}://{rest}"
    host, named = _host_of(url)
    if not _ADDRESS.fullmatch(url) or not host:
        raise InvalidInput(f"{address!r} is not the address of a ComfyUI server.", hint=_HOW)
    if _is_a_mere_word(text, host):
        raise InvalidInput(
            f"{address!r} is not the address of a ComfyUI server: it has no port.",
            hint=f"If a machine is called so, write {host}:{PORT}. {_HOW}",
        )
    path = rest[rest.index("/") :] if "/" in rest else ""
    if {".", ".."}.intersection(unquote(path).split("/")):
        raise InvalidInput(
            f'{address!r} is not the address of a ComfyUI server: its path holds "." or "..".',
            hint=f"Write the path that it leads to. {_HOW}",
        )
    usual = _SECURE if url.startswith("https:") else 80 if path else port
    found = f"{url.partition('://')[0]}://{host}:{named or usual}{path}"
    if len(found.split("://", 1)[-1]) > text_lengths.SERVER:
        raise InvalidInput(
            f"address: the address of a server may have {text_lengths.SERVER} characters.",
            hint="Give the machine a shorter name.",
        )
    return found


def _host_of(url: str) -> tuple[str, int | None]:
    """Return a resolvable host and the port, if any; the host is "" if the URL is invalid."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")  # raises UnicodeError, a subclass of ValueError
        port = parts.port
        if port == 0 or parts.netloc.endswith(":"):
            return "", None
        if ":" in host:
            return f"[{host}]", port
        if parts.netloc.count(":") > (port is not None):  # an IPv6 address without brackets
            return "", None
        return host, port
    except ValueError:
        return "", None


def _is_a_mere_word(text: str, host: str) -> bool:
    """Return whether the text is a single word that nothing marks as an address."""
    return text.lower() == host and "." not in host and ":" not in host and host != "localhost"


def leads_back(url: str, bound: Iterable[tuple[str, int]]) -> bool:
    """Return whether a server's URL is one of the addresses that the gateway itself listens on.

    By their names alone: `bound` are (host, port), without brackets.
    """
    parts = urlsplit(url)
    return any(
        parts.port == port and _is_of(parts.hostname or "", host) for host, port in bound if port
    )


def _is_of(name: str, host: str) -> bool:
    """Return whether who asks for `name` reaches what listens on `host`."""
    return name == host or (is_loopback(name) and (host in _ALL or is_loopback(host)))


async def may_be_one_machine(one: str, other: str) -> bool:
    """Return whether two URLs have the same port and may lead to the same machine.

    That is so if their names resolve to a common address, or both to addresses of this machine.
    """
    first, second = urlsplit(one), urlsplit(other)
    if first.port != second.port:
        return False
    ones, others = await asyncio.gather(_addresses(first.hostname), _addresses(second.hostname))
    return bool(ones & others) or (any(map(_is_ours, ones)) and any(map(_is_ours, others)))


async def _addresses(host: str | None) -> set[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(address[0]) for *_, address in found}


def _is_ours(address: str) -> bool:
    """Return whether the address belongs to this machine, by trying to bind to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with closing(socket.socket(family, socket.SOCK_DGRAM)) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True
