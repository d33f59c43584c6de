"""Signatures as in Standard Webhooks (https://www.standardwebhooks.com). Pure."""

import base64
import binascii
from datetime import UTC, datetime

from standardwebhooks import Webhook

from app.errors import InvalidInput

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret
_HINT = (
    'Make one with: python3 -c "import base64, secrets; '
    "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)


def key_of(secret: str) -> bytes:
    """Return the key in a secret. Raises InvalidInput, without the secret in the message."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise InvalidInput(
            f"A webhook's secret is {PREFIX!r} and the base64 of {SHORTEST} to {LONGEST} bytes.",
            hint=_HINT,
        )
    return key


def headers_of(delivery_id: str, timestamp: int, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the webhook headers; without a secret there is no signature.

    `timestamp`: Unix timestamp in seconds; `body`: JSON as UTF-8.
    """
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        at = datetime.fromtimestamp(timestamp, UTC)
        headers["webhook-signature"] = Webhook(key_of(secret)).sign(delivery_id, at, body.decode())
    return headers
