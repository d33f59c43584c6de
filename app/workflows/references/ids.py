"""Ids of tasks, batches and assets as clients write them: a UUID is the same in either case."""

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def as_stored(text: str) -> str:
    """The id in lower case, as it is stored; what is no UUID stays as it is, and is not found."""
    return text.lower() if _UUID.fullmatch(text) else text
