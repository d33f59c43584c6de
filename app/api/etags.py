"""ETag, If-Match and If-None-Match (RFC 9110) of saved workflows."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Header

IfMatch = Annotated[
    str | None,
    Header(description="The ETag that you have read; 412 if the workflow has changed since then."),
]
IfNoneMatch = Annotated[
    str | None, Header(description="The ETag that you have; 304 if the workflow is still the same.")
]


def etag(version: str) -> str:
    return f'"{version}"'


def matching(if_match: str | None) -> Callable[[str], bool] | None:
    """Return a predicate on the current version for If-Match; None without the header."""
    if if_match is None:
        return None
    return lambda version: bool({"*", etag(version)} & _tags(if_match))


def is_known(version: str, if_none_match: str | None) -> bool:
    """Return whether If-None-Match contains the version."""
    tags = {tag.removeprefix("W/") for tag in _tags(if_none_match or "")}
    return bool({"*", etag(version)} & tags)


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}
