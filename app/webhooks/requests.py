"""Webhooks as clients ask for them."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.errors import InvalidInput, UrlFailed
from app.remote.guard import Guard
from app.tasks.webhooks import EVENTS, FINALS, Webhook
from app.webhooks.signing import key_of

MAX_HEADERS = 20
MAX_VALUE = 4096  # characters
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
# Ours to set, or about the connection.
_RESERVED = {
    *("host", "connection", "content-length", "content-type", "content-encoding", "expect"),
    *("transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "accept-encoding"),
}


async def wanted(value: str | Mapping[str, Any], guard: Guard) -> Webhook:
    """The webhook of a submit: its URL, or {url, events, headers, secret}.

    Raises UrlNotAllowed and InvalidInput. A name that cannot be looked up now may be later.
    """
    fields: Mapping[str, Any] = {"url": value} if isinstance(value, str) else value
    webhook = Webhook(
        url=fields["url"],
        events=events_of(fields.get("events") or FINALS),
        headers=_headers(fields.get("headers") or {}),
        secret=fields.get("secret"),
    )
    if webhook.secret is not None:
        key_of(webhook.secret)
    with suppress(UrlFailed):
        await guard.addresses_of(guard.check(webhook.url))
    return webhook


def events_of(names: Sequence[str]) -> tuple[str, ...]:
    """The events without doubles. Raises InvalidInput for one that is not there."""
    for name in names:
        if name not in EVENTS:
            raise InvalidInput(
                f"There is no event {name[:80]!r}.", hint=f"There are {', '.join(EVENTS)}."
            )
    return tuple(dict.fromkeys(names))


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    if len(headers) > MAX_HEADERS:
        raise InvalidInput(f"A webhook may have {MAX_HEADERS} headers.")
    for name, value in headers.items():
        reserved = name.lower() in _RESERVED or name.lower().startswith(("webhook-", "proxy-"))
        if not _NAME.fullmatch(name) or reserved:
            raise InvalidInput(f"A webhook cannot have the header {name[:100]!r}.")
        if not _VALUE.fullmatch(value) or len(value) > MAX_VALUE:
            raise InvalidInput(f"The value of the header {name!r} cannot be sent.")
    return dict(headers)
