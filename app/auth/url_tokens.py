"""Secrets for paths, /comfy/~TOKEN/..., of API keys. Pure except for randomness.

Some clients know nothing but a URL. URLs are logged, stored and shared, so what stands in them is
no API key: it is good for ComfyUI's own protocol only, and revoked alone.
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from app.auth.secrets import hash_of
from app.errors import InvalidInput
from app.limits.json_types import Json
from app.limits.redaction import TOKEN as PREFIX

_RANDOM_BYTES = 24  # 192 bits
_ID = re.compile(r"[0-9a-z]{1,40}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class UrlToken:
    """A stored token; `hash` is the SHA-256 of its text, in hex. `id` is what it is revoked by."""

    id: str
    hash: str = field(repr=False)
    created_at: str = ""

    def dump(self) -> Json:
        fields = {"id": self.id, "hash": self.hash, "created_at": self.created_at}
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def load(cls, fields: Any) -> "UrlToken":
        """Parse a token. Raises InvalidInput."""
        if not isinstance(fields, dict) or fields.keys() - set(cls.__dataclass_fields__):
            raise InvalidInput('urls: a list of {"id", "hash", "created_at"} is wanted.')
        for name, form in (("id", _ID), ("hash", _DIGEST)):
            if not isinstance(value := fields.get(name), str) or not form.fullmatch(value):
                raise InvalidInput(
                    f"urls: {name}: that is none.", hint="`keys url NAME --inline` prints an entry."
                )
        return cls(fields["id"], fields["hash"], str(fields.get("created_at") or ""))


def new_token(created_at: str) -> tuple[str, UrlToken]:
    """Return the text of a new token, and the token."""
    text = f"{PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}"
    return text, UrlToken(secrets.token_hex(4), hash_of(text), created_at)


def load_all(entries: Any) -> tuple[UrlToken, ...]:
    """Parse the tokens of a key. Raises InvalidInput."""
    if not isinstance(entries, list):
        raise InvalidInput("urls: a list is wanted.")
    found = tuple(map(UrlToken.load, entries))
    if len({token.id for token in found}) < len(found):
        raise InvalidInput("urls: two have the same id.")
    return found
