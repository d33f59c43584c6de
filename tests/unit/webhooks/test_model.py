"""A webhook as it is shown."""

from app.tasks.webhook import Webhook
from app.webhooks.model import masked

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's own libraries


def test_secrets_are_not_shown() -> None:
    webhook = Webhook(
        "https://example.com/a?token=abcdef&b=c#d",
        headers={"Authorization": "Bearer sesame", "X-Short": "1"},
        secret=SECRET,
    )
    assert webhook.shown()["url"] == "https://example.com/a?token=***&b=***"
    told = f'got abcdef, "sesame", Bearer sesame, {SECRET}, 1'
    assert masked(told, webhook) == 'got ***, "***", ***, ***, 1'
