"""Webhooks without a network: signatures, retries, what is asked for and what is shown."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app.errors import InvalidInput, UrlNotAllowed
from app.outbound.guard import Guard
from app.outbound.post import Answer
from app.tasks.webhook import FINALS, Webhook
from app.webhooks.model import masked
from app.webhooks.requests import wanted
from app.webhooks.retries import SCHEDULE, DeliveryStatus, next_step
from app.webhooks.signing import headers_of, key_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own libraries
URL = "https://example.com/hook"


def test_the_known_answer_of_the_specification() -> None:
    headers = headers_of(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', SECRET
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receivers_library_accepts_it() -> None:
    body = json.dumps({"type": "task.succeeded", "data": {"text": "füchse"}}).encode()
    headers = headers_of("msg_1", int(time.time()), body, SECRET)
    assert Verifier(SECRET).verify(body, headers)["type"] == "task.succeeded"
    for wrong in (
        headers_of("msg_1", int(time.time()) - 999, body, SECRET),
        {**headers, "webhook-id": "msg_2"},
        headers_of("msg_1", int(time.time()), body + b" ", SECRET),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(SECRET).verify(body, wrong)
    assert "webhook-signature" not in headers_of("msg_1", 1, body, None)


@pytest.mark.parametrize(
    "secret",
    [
        *("", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), "whsec_" + "!" * 40),
        *("whsec_" + base64.b64encode(bytes(65)).decode(), "whsec_" + "a" * 33),
    ],
)
def test_secrets_that_cannot_be(secret: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        key_of(secret)
    assert refused.value.hint
    assert not secret or secret not in refused.value.detail or secret == "whsec_"


def test_tries_go_on_for_more_than_a_day_and_end() -> None:
    waits = []
    for tries in range(1, len(SCHEDULE) + 1):
        step = next_step(Answer(500), tries, chance=lambda: 0.5)
        assert step.status is DeliveryStatus.PENDING
        waits.append(step.wait or 0)
    assert waits == [pytest.approx(seconds * 1.1) for seconds in SCHEDULE]
    assert 20 * 3600 < sum(SCHEDULE) < 30 * 3600
    assert next_step(Answer(500), len(SCHEDULE) + 1).status is DeliveryStatus.DEAD


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success(status: int) -> None:
    assert next_step(Answer(status), 1).status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("status", [None, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert next_step(Answer(status), 1).status is DeliveryStatus.PENDING


def test_gone_is_the_end_and_retry_after_is_honoured() -> None:
    assert next_step(Answer(410), 1).status is DeliveryStatus.DEAD
    assert next_step(Answer(429, retry_after=900), 1).wait == 900
    assert (next_step(Answer(429, retry_after=1), 1).wait or 0) >= 5
    assert next_step(Answer(503, retry_after=1e9), 1).wait == 86400


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


def test_secrets_are_not_shown() -> None:
    webhook = Webhook(
        "https://example.com/a?token=abcdef&b=c#d",
        headers={"Authorization": "Bearer sesame", "X-Short": "1"},
        secret=SECRET,
    )
    assert webhook.shown()["url"] == "https://example.com/a?token=***&b=***"
    told = f'got abcdef, "sesame", Bearer sesame, {SECRET}, 1'
    assert masked(told, webhook) == 'got ***, "***", ***, ***, 1'
