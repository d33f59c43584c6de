"""The text of a key and its hash. Pure except for randomness.

A fast hash is sufficient: slow ones (argon2, bcrypt) protect passwords, which can be guessed. A key
has 256 random bits, which cannot be guessed however fast a guess is checked; and each request
checks one.
"""

import hashlib
import secrets

from app.limits.redaction import KEY

PREFIX = KEY  # allows people and secret scanners to recognize a key


def new_key() -> str:
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
