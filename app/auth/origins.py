"""Checks of Host and Origin of browser requests. Pure.

They protect a gateway on a user's own machine from other pages and from DNS rebinding.
"""

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from app.errors import HostNotAllowed, InvalidInput, OriginNotAllowed

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::\d+)?")
_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")  # as it comes in a Host header
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@lru_cache(maxsize=256)  # called for each request
def is_loopback(host: str) -> bool:
    """Return whether a listening address can be reached from this machine only."""
    if _is_local_name(host):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    found = _HOST.fullmatch(host.strip())
    return found[1].lower().rstrip(".") if found else ""


def checked_host(text: str) -> str:
    """Return a name for Host headers in lower case, without a port. Raises InvalidInput."""
    name = host_name(text)
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{text[:200]!r} is no name of a host.",
            hint="Write a name or an address, such as gate.example or [::1], without http://.",
        )
    return name


def check_host(host: str, allowed: Collection[str], *, keys_help: bool = True) -> None:
    """Raise HostNotAllowed unless the Host header names this machine or is in the list.

    A page on evil.example whose name resolves to 127.0.0.1 sends its own name in Host.
    `keys_help`: with API keys it would not be asked.
    """
    name = host_name(host)
    if not is_loopback(name) and name not in allowed:
        raise HostNotAllowed(
            f"The gateway is not known under the name {name[:100]!r}.",
            hint=f"If it is, set COMFYUI_ALLOWED_HOSTS={name[:100] or 'NAME'}"
            f"{', or use API keys' if keys_help else ''}.",
        )


def check_origin(
    method: str, *, host: str, origin: str | None, fetch_site: str | None, allowed: Collection[str]
) -> None:
    """Raise OriginNotAllowed for a modifying request from a page of another origin.

    `method` is "WEBSOCKET" for a WebSocket. Programs send no Origin. Browsers always send it for
    these requests; if one does not, Sec-Fetch-Site decides. Schemes are not compared, as the
    gateway does not know its own behind a proxy that terminates TLS.
    """
    if method in SAFE_METHODS or "*" in allowed:
        return
    if origin is None:
        if fetch_site in (None, "same-origin", "none"):
            return
    elif origin in allowed or _place(origin) == host.strip().lower():
        return
    named = origin or f"a {fetch_site} page"
    raise OriginNotAllowed(
        f"Pages from {named[:200]} may not use this gateway.",
        hint="If they may, add their origin to COMFYUI_CORS_ORIGINS.",
    )


def checked_origin(text: str) -> str:
    """Return an origin in the notation of browsers: scheme://host[:port], or *. Raises
    InvalidInput."""
    if text == "*":
        return text
    parts = urlsplit(text.rstrip("/").lower())
    if not parts.scheme or not parts.netloc or parts.path or parts.query or "@" in parts.netloc:
        raise InvalidInput(
            f"{text[:200]!r} is no origin.", hint="Write scheme://host[:port], without a path."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _place(origin: str) -> str:
    """Return host[:port] of an origin, without a default port, as in Host."""
    parts = urlsplit(origin.lower())
    default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return parts.netloc.removesuffix(default) if default else parts.netloc


def _is_local_name(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")
