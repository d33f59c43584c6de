"""Signatures as in Standard Webhooks (https://www.standardwebhooks.com). Pure."""

import base64
import binascii
import hashlib
import hmac

from app.errors import InvalidInput

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret
_HINT = (
    'Make one with: python3 -c "import base64, secrets; '
    "print('whsec_' + base64.b64encode(secrets.token_bytes(32)).decode())\""
)


def key_of(secret: str) -> bytes:
    """The key in a secret. Raises InvalidInput, which does not repeat the secret."""
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
    """The three headers; without a secret there is no signature."""
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(timestamp)}
    if secret is not None:
        signed = b".".join((delivery_id.encode(), str(timestamp).encode(), body))
        digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers
