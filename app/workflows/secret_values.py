"""Secrets in `extra_data`: removed from what is stored, and restored in what is sent. Pure.

Secrets are recognized by the names of members, at any depth. They are kept as JSON of the same
structure that contains nothing else: objects with the names on the path to each secret text, and
`{index: ...}` for lists.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import InvalidInput

Secrets = Mapping[Any, Any]

MOST_SECRET = 8192  # total characters, as secrets stay in memory until the task ends
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# Names of secrets in ComfyUI's own nodes, and likely names in custom ones.
_SECRET = re.compile(
    r"(token|secret|password|passwd|passphrase|credential|cookie|authorization|bearer)s?\b"
    r"|(api|access|private|auth) ?keys?\b|\b(auth|pwd|jwt)\b|\bcomfy org$"
)
_KEY = re.compile(r"\bkeys?$")


def taken_out(value: Any) -> tuple[Any, Secrets]:
    """Return the value without its secrets, and the secrets.

    Only texts can be secret: a number such as `max_tokens` is not.
    """
    kept, secrets = _parted(value, told=False, key=_KEY)
    return kept, secrets if isinstance(secrets, dict) else {}


def taken_out_of_page(page: Any) -> tuple[Any, Secrets]:
    """Split a UI-format file like `taken_out`, but without names ending in `key`.

    The tables of such files use these names for other things.
    """
    kept, secrets = _parted(page, told=False, key=None)
    return kept, secrets if isinstance(secrets, dict) else {}


def put_back(value: Any, secrets: Any) -> Any:
    """Return a copy of the value with the secrets restored."""
    if isinstance(secrets, str):
        return secrets
    found: Any = list(value) if isinstance(value, list) else dict(value or {})
    for name, secret in secrets.items():
        before = found[name] if isinstance(found, list) else found.get(name)
        found[name] = put_back(before, secret)
    return found


def texts_of(secrets: Secrets) -> Iterator[str]:
    for secret in secrets.values():
        if isinstance(secret, str):
            yield secret
        else:
            yield from texts_of(secret)


def check_secrets(secrets: Secrets) -> None:
    """Raise InvalidInput if the secrets are too long; the message does not quote them."""
    if (size := _size(secrets)) > MOST_SECRET:
        raise InvalidInput(
            f"extra_data: its secrets and their names have {size} characters; {MOST_SECRET} are "
            "allowed.",
            hint="What is called a key, token, secret or password is taken for one; data needs "
            "another name.",
        )


def _size(secrets: Any) -> int:
    if isinstance(secrets, str):
        return len(secrets)
    return sum(len(str(name)) + _size(secret) for name, secret in secrets.items())


def _parted(value: Any, *, told: bool, key: re.Pattern[str] | None) -> tuple[Any, Any]:
    """Split a value; `told`: a parent's name marks it as secret, `key`: additional pattern of
    names."""
    if isinstance(value, str):
        return ("", value) if told and value else (value, None)
    if not isinstance(value, dict | list):
        return value, None
    items = value.items() if isinstance(value, dict) else enumerate(value)
    # Lists of headers contain {"name": "Authorization", "value": ...}.
    named = value.get("name") if isinstance(value, dict) else None
    kept: dict[Any, Any] = {}
    secrets: dict[Any, Any] = {}
    for name, item in items:
        is_one = told or _is_secret(name, key) or (name == "value" and _is_secret(named, key))
        kept[name], found = _parted(item, told=is_one, key=key)
        if found:
            secrets[name] = found
        if isinstance(found, str) and isinstance(value, dict):
            del kept[name]  # items of a list keep their indices instead
    if not secrets:
        return value, None
    return (kept if isinstance(value, dict) else list(kept.values())), secrets


def _is_secret(name: Any, key: re.Pattern[str] | None) -> bool:
    if not isinstance(name, str):
        return False
    words = " ".join(_WORDS.findall(name)).lower()
    return bool(_SECRET.search(words) or (key and key.search(words)))
