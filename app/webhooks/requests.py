"""Validation of webhooks in requests."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.errors import InvalidInput, UrlFailed
from app.limits.quoting import quoted
from app.outbound.guard import Guard, refused
from app.outbound.transport import can_be_sent
from app.tasks.webhook import EVENTS, FINALS, Webhook
from app.webhooks.signing import key_of

MAX_HEADERS = 20
MAX_NAME, MAX_VALUE = 100, 4096  # characters
MAX_TOTAL = 16 * 1024  # characters of all names and values; servers refuse more
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
# Set by the gateway, or about the connection.
_RESERVED = {
    *("host", "connection", "content-length", "content-type", "content-encoding", "expect"),
    *("transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "accept-encoding"),
}


async def wanted(value: str | Mapping[str, Any], guard: Guard) -> Webhook:
    """Return the webhook of a submit: its URL, or {url, events, headers, secret}.

    Raises UrlNotAllowed and InvalidInput. A host that cannot be resolved now is accepted.
    """
    fields: Mapping[str, Any] = {"url": value} if isinstance(value, str) else value
    webhook = Webhook(
        url=fields["url"],
        events=events_of(fields.get("events") or FINALS),
        headers=dict(fields.get("headers") or {}),
        secret=fields.get("secret"),
    )
    if webhook.secret is not None:
        key_of(webhook.secret)
    url = guard.check(webhook.url)
    if not can_be_sent(url, {}):
        raise refused("It holds characters that cannot be sent.")
    _check_headers(url, webhook.headers)
    with suppress(UrlFailed):
        await guard.addresses_of(url)
    return webhook


def events_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the events without duplicates. Raises InvalidInput for an unknown one."""
    for name in names:
        if name not in EVENTS:
            raise InvalidInput(
                f"There is no event {quoted(name)}.", hint=f"There are {', '.join(EVENTS)}."
            )
    return tuple(dict.fromkeys(names))


def _check_headers(url: Any, headers: Mapping[str, str]) -> None:
    """Raise InvalidInput for an invalid header; the message does not contain its value."""
    if len(headers) > MAX_HEADERS or sum(map(len, [*headers, *headers.values()])) > MAX_TOTAL:
        raise InvalidInput(
            f"A webhook may have {MAX_HEADERS} headers, of {MAX_TOTAL} characters together.",
            field="webhook.headers",
        )
    times = Counter(name.lower() for name in headers)
    for name, value in headers.items():
        lower = name.lower()
        if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
            raise _refused(name, "that is no name of a header")
        if lower in _RESERVED or lower.startswith(("webhook-", "proxy-")):
            raise _refused(name, "it is the gateway's to set")
        if times[lower] > 1:
            raise _refused(name, "it stands there twice, in another case")
        if len(value) > MAX_VALUE:
            raise _refused(name, f"its value has {len(value)} characters, and may have {MAX_VALUE}")
        usual = _VALUE.fullmatch(value)  # h11 accepts control characters
        if not usual or not can_be_sent(url, {name: value}):
            raise _refused(name, "its value cannot be sent")


def _refused(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"A webhook cannot have the header {quoted(name)}: {why}.",
        hint=f"Values are up to {MAX_VALUE} printable ASCII characters, no spaces around them.",
        field="webhook.headers",
    )
