"""Which webhooks a request may ask for."""

import pytest

from app.errors import InvalidInput, UrlNotAllowed
from app.outbound.guard import Guard
from app.tasks.webhook import FINALS, Webhook
from app.webhooks.requests import wanted

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own libraries
URL = "https://example.com/hook"


async def test_what_may_be_asked_for() -> None:
    guard = Guard(["*"])
    assert await wanted(URL, guard) == Webhook(URL, FINALS)
    fields = {"url": URL, "events": ["task.started", "task.started"], "secret": SECRET}
    webhook = await wanted({**fields, "headers": {"Authorization": "Bearer abc"}}, guard)
    assert webhook.events == ("task.started",)
    assert "abc" not in repr(webhook)
    assert SECRET not in repr(webhook)
    unknown = "https://no-such-host.invalid/"
    assert (await wanted(unknown, guard)).url == unknown, "it may be there later"


@pytest.mark.parametrize(
    "fields",
    [
        {"events": ["task.done"]},
        {"secret": "abc"},
        {"headers": {"Host": "a"}},
        {"headers": {"Webhook-Id": "a"}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"a": "ü"}},
        {"headers": {f"a{number}": "b" for number in range(21)}},
    ],
)
async def test_what_may_not(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        await wanted({"url": URL, **fields}, Guard(["*"]))


async def test_where_it_may_not_go() -> None:
    for url in ("http://127.0.0.1/", "ftp://example.com/", "http://a:b@example.com/"):
        with pytest.raises(UrlNotAllowed):
            await wanted(url, Guard())
