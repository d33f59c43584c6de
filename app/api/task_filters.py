"""Query parameters of task lists."""

import re
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Annotated

from fastapi import Depends, Query

from app.api.deps import Id
from app.db.task_filters import Selection
from app.errors import InvalidInput
from app.limits import text_lengths
from app.limits.quoting import quoted
from app.tasks.model import Status

LONGEST = 200  # characters of a search text
DAY = 86_400  # seconds
LATEST = 1e11  # seconds; larger numbers are milliseconds
_HINT = "Write ISO 8601, such as 2026-01-31T09:30:00Z or 2026-01-31, or seconds since 1970."
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?")
_DAY = re.compile(r"\d{4}-?\d\d-?\d\d")
_FRACTION = re.compile(r":\d\d[.,](\d+)")
_PLUS_LOST = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)")  # "+" in a URL is decoded to a space


def moment(name: str, text: str, *, is_end: bool = False) -> float:
    """Parse a time to a Unix timestamp; the default zone is UTC. Raises InvalidInput.

    `is_end`: return the last moment of the given day, second or fraction.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        if float(text) < LATEST:
            return float(text)
        raise InvalidInput(f"{name}: {quoted(text)} are too many seconds.", field=name, hint=_HINT)
    try:
        if _DAY.fullmatch(text):
            day = datetime.combine(datetime.fromisoformat(text), time.min, UTC)
            return day.timestamp() + (DAY - 1e-6 if is_end else 0)
        found = datetime.fromisoformat(_PLUS_LOST.sub(r"\1+\2", text))
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        return seconds + _rest_of(text) if is_end else seconds
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{name}: {quoted(text)} is no moment.", field=name, hint=_HINT
        ) from error


def _rest_of(text: str) -> float:
    """Return the length of the last given digit of a time, in seconds."""
    fraction = _FRACTION.search(text)
    return 10.0 ** -min(len(fraction[1]) if fraction else 0, 6) - 1e-6


async def _searched(
    workflow: Annotated[
        str | None, Query(description="Only of this saved workflow, by its file name.")
    ] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=LONGEST,
            description="Only with this text in the workflow's name, in params, metadata or the "
            "error (the first 8,000 characters), in upper or lower case, or with an id that begins "
            "so.",
        ),
    ] = None,
    since: Annotated[
        str | None, Query(description="Only made then or later: ISO 8601, or seconds since 1970.")
    ] = None,
    until: Annotated[
        str | None, Query(description="Only made then or before; a day, or a second, to its end.")
    ] = None,
) -> Selection:
    begin = moment("since", since) if since else None
    end = moment("until", until, is_end=True) if until else None
    if begin is not None and end is not None and begin > end:
        raise InvalidInput("since: it is later than until.", field="since", hint=_HINT)
    return Selection(workflow=workflow or None, text=q, since=begin, until=end)


Searched = Annotated[Selection, Depends(_searched)]


async def _wanted(
    searched: Searched,
    status: Annotated[list[Status] | None, Query(description="Only these; repeatable.")] = None,
    batch_id: Annotated[Id | None, Query(description="Only of this batch.")] = None,
    client_id: Annotated[
        str | None,
        Query(
            max_length=text_lengths.CLIENT,
            description="Only of this client of ComfyUI's own protocol.",
        ),
    ] = None,
) -> Selection:
    return replace(searched, statuses=status or (), batch_id=batch_id, client_id=client_id)


Wanted = Annotated[Selection, Depends(_wanted)]
WithTotal = Annotated[bool, Query(description="Also how many there are in all pages together.")]
