"""Ids of tasks, batches and assets as clients write them; UUIDs are case-insensitive."""

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id."""
    return _UUID.fullmatch(text) is not None


def as_stored(text: str) -> str:
    """Return a UUID in lower case, as stored; other texts unchanged, which are not found."""
    return text.lower() if is_id(text) else text
