"""Ids of tasks, batches and assets as clients write them; UUIDs are case-insensitive."""

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def as_stored(text: str) -> str:
    """Return a UUID in lower case, as stored; other texts unchanged, which are not found."""
    return text.lower() if _UUID.fullmatch(text) else text
