"""Parameters of GET /api/jobs, with ComfyUI's words for those that are wrong. Pure.

Source: recorded answers of ComfyUI 0.33.0.
"""

from collections.abc import Mapping


class BadQuery(ValueError):
    """A parameter is wrong; ComfyUI answers 400 with this text as `error`."""


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a parameter as a number; None without it. Raises BadQuery."""
    if name not in query:
        return None
    try:
        return int(query[name])
    except ValueError as error:
        raise BadQuery(f"{name} must be an integer") from error


def one_of(query: Mapping[str, str], name: str, words: tuple[str, str]) -> str:
    """Return a parameter that is one of the words, by default the first. Raises BadQuery."""
    word = query.get(name) or words[0]
    if word not in words:
        raise BadQuery(f"{name} must be {' or '.join(map(repr, sorted(words)))}")
    return word
