"""Paths of the gateway in what it tells: JSON, streams and headers."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

FIRST = ("api", "static", "ws", "docs", "redoc", "openapi.json", "metrics")
_OURS = re.compile(rf"/(?:{'|'.join(map(re.escape, FIRST))})(?:/|$)")


def strings_in(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Each string in JSON with its place; names of members, which are no URLs, are left out."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from strings_in(item, f"{place}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from strings_in(item, f"{place}.{number}")


def path_in(text: str) -> str | None:
    """The path, if the text is a URL of the gateway, absolute or relative, below whatever path."""
    if not text.startswith(("/", "http://", "https://")):
        return None
    path = urlsplit(text).path
    return path if _OURS.search(path) else None


def misplaced(told: Any, base_path: str) -> list[str]:
    """The URLs of the gateway that are not right below the path, with their places."""
    return [
        f"{place}: {text[:200]}"
        for place, text in strings_in(told)
        if (path := path_in(text)) is not None
        and not (path.startswith(base_path) and _OURS.match(path[len(base_path) :]))
    ]


def urls_in(told: Any) -> list[str]:
    return [text for _, text in strings_in(told) if path_in(text) is not None]
