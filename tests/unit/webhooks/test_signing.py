"""Signatures of webhooks."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from app.errors import InvalidInput
from app.webhooks.signing import headers_of, key_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own libraries


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
