"""API keys, scopes and callers. Pure."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from app.auth.url_tokens import UrlToken, load_all
from app.errors import Forbidden, InvalidInput
from app.limits.json_types import Json

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")  # also valid as a folder name on any file system
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RATE = re.compile(r"([1-9]\d{0,6})/(second|minute|hour|day)")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class AccessLevel(IntEnum):
    """Scopes; each includes the preceding ones."""

    OPEN = 0  # no key needed
    READ = 1
    RUN = 2
    MANAGE = 3

    @property
    def word(self) -> str:
        return self.name.lower()


SCOPES = [scope.word for scope in AccessLevel if scope is not AccessLevel.OPEN]


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of requests per number of seconds."""

    requests: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Parse a rate such as "60/minute". Raises InvalidInput."""
        found = _RATE.fullmatch(text)
        if found is None:
            raise InvalidInput(
                f"rate: {text[:40]!r} is none.", hint="Write N/second, N/minute, N/hour or N/day."
            )
        return cls(int(found[1]), _SECONDS[found[2]])

    def __str__(self) -> str:
        unit = next(word for word, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.requests}/{unit}"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A stored key; `hash` is the SHA-256 of its text, in hex. A limit of None means no limit.

    `concurrent`: tasks on servers at a time; `queued`: waiting tasks; `daily`: tasks per day.
    `urls`: tokens that stand for the key in paths of ComfyUI's own protocol.
    """

    name: str
    hash: str = field(repr=False)
    scope: AccessLevel = AccessLevel.RUN
    rate: Rate | None = None
    concurrent: int | None = None
    queued: int | None = None
    daily: int | None = None
    created_at: str = ""
    urls: tuple[UrlToken, ...] = ()

    def in_url(self, token_hash: str | None = None) -> "AccessKey":
        """Return the key as a token of this hash stands for it, or a port that is bound to it.

        It shares name and limits, and allows no more than `run`.
        """
        scope = min(self.scope, AccessLevel.RUN)
        return replace(self, hash=token_hash or self.hash, scope=scope)

    def dump(self) -> Json:
        """Return the key as JSON, without unset fields."""
        fields: Json = {
            "name": self.name,
            "hash": self.hash,
            "scope": self.scope.word,
            "rate": str(self.rate) if self.rate else None,
            "concurrent": self.concurrent,
            "queued": self.queued,
            "daily": self.daily,
            "created_at": self.created_at or None,
            "urls": [token.dump() for token in self.urls] or None,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def load(cls, fields: Any) -> "AccessKey":
        """Parse a key. Raises InvalidInput that names the key and the fault."""
        if not isinstance(fields, dict):
            raise InvalidInput("A key must be a JSON object.")
        name = fields.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InvalidInput(
                f"name: {str(name)[:60]!r} cannot be one.",
                hint="1 to 40 lower-case letters, digits, '-' and '_'.",
            )
        try:
            return _checked(name, fields)
        except InvalidInput as error:
            error.detail = f"Key {name!r}: {error.detail}"
            raise


def _checked(name: str, fields: Json) -> AccessKey:
    if unknown := sorted(fields.keys() - set(AccessKey.__dataclass_fields__)):
        raise InvalidInput(f"{unknown[0]}: there is no such field.")
    digest = fields.get("hash")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise InvalidInput("hash: the SHA-256 of the key is wanted, as 64 hex digits.")
    if fields.get("scope", "run") not in SCOPES:
        raise InvalidInput(f"scope: one of {', '.join(SCOPES)} is wanted.")
    rate = fields.get("rate")
    return AccessKey(
        name=name,
        hash=digest,
        scope=AccessLevel[fields.get("scope", "run").upper()],
        rate=Rate.parse(str(rate)) if rate is not None else None,
        concurrent=_limit(fields, "concurrent"),
        queued=_limit(fields, "queued"),
        daily=_limit(fields, "daily"),
        created_at=str(fields.get("created_at") or ""),
        urls=load_all(fields.get("urls", [])),
    )


def _limit(fields: Json, name: str) -> int | None:
    value = fields.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidInput(f"{name}: a whole number of at least 1 is wanted.")
    return value


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Things that it creates belong to `name`; it sees things that belong to `visible_owner`, None for
    all. `queued` and `daily` are the limits of its key.
    """

    scope: AccessLevel
    name: str | None = None
    visible_owner: str | None = None
    queued: int | None = None
    daily: int | None = None

    @property
    def is_unrestricted(self) -> bool:
        return self.visible_owner is None

    def need_all(self, what: str) -> None:
        """Raise Forbidden unless the caller may see everything; `what` shows data of all owners."""
        if not self.is_unrestricted:
            raise Forbidden(
                f"{what} shows what belongs to others, too.", hint="Use a key with scope manage."
            )


EVERYBODY = Caller(AccessLevel.MANAGE)  # if keys are not used
STRANGER = Caller(AccessLevel.OPEN, visible_owner="")  # without a key; nothing belongs to ""


def caller_of(key: AccessKey, *, shared: bool) -> Caller:
    visible_owner = None if shared or key.scope is AccessLevel.MANAGE else key.name
    return Caller(key.scope, key.name, visible_owner, key.queued, key.daily)


def check_names(keys: Collection[AccessKey]) -> None:
    """Raise InvalidInput if two keys have the same name, since tasks belong to names."""
    names = [key.name for key in keys]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"There are two keys named {twice[0]!r}.", hint="Revoke one of them.")
