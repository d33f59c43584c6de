"""Headers of ASGI messages, without an object around them: there are several looks per request."""

from collections.abc import Iterable, MutableMapping
from typing import Any

Header = tuple[bytes, bytes]


def header(source: MutableMapping[str, Any], name: bytes) -> str | None:
    """Return the first header of this name (in lower case) of a scope or message, or None."""
    for key, value in source.get("headers", ()):
        if key == name:
            return str(value, "latin-1")
    return None


def add_missing(message: MutableMapping[str, Any], added: Iterable[Header]) -> None:
    """Add the headers that a response does not have yet; their names are in lower case."""
    headers = message.get("headers", ())
    present = {name for name, _ in headers}
    message["headers"] = [*headers, *[pair for pair in added if pair[0] not in present]]
