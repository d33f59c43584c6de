"""The text of a key, and what is kept of it. Pure, but for the dice.

A fast hash is right here: slow ones (argon2, bcrypt) protect passwords, which can be guessed. A
key has 256 random bits. Nobody guesses those, however fast a guess is checked; and each request
checks one.
"""

import hashlib
import secrets

PREFIX = "cgw_"  # so that people and scanners know a key of ours when they find one


def new_key() -> str:
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
