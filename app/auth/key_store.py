"""Storage of keys: a JSON file that may change at any time, or the setting itself."""

import hmac
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from app.auth.model import AccessKey, check_names
from app.auth.secrets import hash_of
from app.auth.url_tokens import UrlToken
from app.errors import GatewayError, InvalidInput, NotFound
from app.files.stores.atomic import write_atomically
from app.files.stores.temporary import remove_left
from app.limits.json_types import Json

log = logging.getLogger(__name__)

MODE = 0o600  # readable for the operator only
Stamp = tuple[int, int, int]  # differs whenever the file was replaced or written


@dataclass(frozen=True, slots=True)
class Keys:
    """A set of keys by their hashes; `former`: names of revoked keys with the time.

    Tasks and files of a revoked key still exist, and belong to the key of that name.
    """

    by_hash: dict[str, AccessKey]
    former: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, keys: Iterable[AccessKey], former: Mapping[str, str] | None = None) -> "Keys":
        """Return a set of keys. Raises InvalidInput."""
        found = list(keys)
        check_names(found)
        return cls({key.hash: key for key in found}, dict(former or {}))

    def find(self, text: str) -> AccessKey | None:
        """Return the key with this text.

        All keys are compared, each in constant time, so that the duration reveals nothing.
        """
        wanted, found = hash_of(text), None
        for key in self.by_hash.values():
            if hmac.compare_digest(key.hash, wanted):
                found = key
        return found

    def find_url(self, text: str) -> AccessKey | None:
        """Return the key that a token with this text stands for, restricted to what that allows.

        All tokens are compared, as keys are.
        """
        wanted, found = hash_of(text), None
        for key in self:
            for token in key.urls:
                if hmac.compare_digest(token.hash, wanted):
                    found = key.in_url(token.hash)
        return found

    @property
    def hashes(self) -> set[str]:
        """The hashes of all keys and tokens."""
        return {*self.by_hash, *(token.hash for key in self for token in key.urls)}

    def named(self, name: str) -> AccessKey | None:
        return next((key for key in self if key.name == name), None)

    def __iter__(self) -> Iterator[AccessKey]:
        return iter(self.by_hash.values())


def parse(text: str | bytes) -> Keys:
    """Parse keys from JSON: {"keys": [...]}, or the list alone. Raises InvalidInput."""
    try:
        # json.loads detects the encoding of bytes: Notepad adds a BOM, PowerShell writes UTF-16.
        value = json.loads(text.encode() if isinstance(text, str) else text)
    except ValueError as error:
        raise InvalidInput(f"The keys are not valid JSON: {error}.") from error
    entries = value.get("keys") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise InvalidInput('A list of keys is wanted, or {"keys": [...]}.')
    former = value.get("former") if isinstance(value, dict) else None
    return Keys.of((AccessKey.load(entry) for entry in entries), _former(former))


def _former(entries: Any) -> dict[str, str]:
    """Parse the revoked keys. Raises InvalidInput."""
    found = {}
    for entry in [] if entries is None else entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise InvalidInput('former: a list of {"name": ..., "revoked_at": ...} is wanted.')
        found[entry["name"].casefold()] = str(entry.get("revoked_at") or "")
    return found


def _with(keys: Keys, changed: AccessKey) -> Keys:
    """Return the set with this key in place of the one of its name."""
    return Keys.of((changed if key.name == changed.name else key for key in keys), keys.former)


def is_inline(setting: str) -> bool:
    """Return whether the setting contains the keys themselves instead of a path."""
    return setting.lstrip()[:1] in ("[", "{")


class KeyFile:
    """The keys in a file; a missing file has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble: str | None = None  # why the current content is not in force
        self._stamp: Stamp | None = None
        self._keys = Keys({})

    def load(self) -> Keys:
        """Read the file. Raises InvalidInput for invalid content."""
        stamp = self._stamp_now()
        self._keys = Keys({}) if stamp is None else parse(self.path.read_bytes())
        self._stamp = stamp
        return self._keys

    @property
    def exists(self) -> bool:
        """Whether the file was there when it was last looked at."""
        return self._stamp is not None

    def current(self) -> Keys:
        """Return the keys currently in the file; cheap enough for each request, as it costs a stat.

        If the content is invalid, for example while it is edited by hand, the previous keys stay in
        force and `trouble` is set.
        """
        try:
            if self._stamp_now() != self._stamp:
                self.load()
                self.trouble = None
        except (OSError, GatewayError) as error:
            trouble = f"{self.path} cannot be read; the keys before it stay in force: {error}"
            if trouble != self.trouble:
                log.error("%s", trouble)
            self.trouble = trouble
        return self._keys

    def add(self, key: AccessKey, *, take_over: bool = False) -> None:
        """Add a key. Raises InvalidInput if the name is in use.

        With `take_over` the name of a revoked key is accepted; its tasks and files belong to the
        new key.
        """
        with self._locked():
            keys = self.load()
            former = dict(keys.former)
            if (revoked_at := former.pop(key.name.casefold(), None)) is not None and not take_over:
                raise InvalidInput(
                    f"There was a key named {key.name!r}, revoked {revoked_at or 'before'}: its "
                    "tasks, uploads, results, webhooks and what it used today would belong to the "
                    "new one.",
                    hint="Choose another name, or pass --take-over if it is for the same owner.",
                )
            self._write(Keys.of([*keys, key], former))

    def revoke(self, name: str) -> None:
        """Remove a key; its name is remembered. Raises NotFound."""
        with self._locked():
            keys = self.load()
            self._of(keys, name)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            left = [key for key in keys if key.name != name]
            self._write(Keys.of(left, {**keys.former, name.casefold(): now}))

    def add_url(self, name: str, token: UrlToken) -> None:
        """Add a token for paths to a key. Raises NotFound."""
        with self._locked():
            keys = self.load()
            key = self._of(keys, name)
            self._write(_with(keys, replace(key, urls=(*key.urls, token))))

    def revoke_url(self, name: str, token_id: str) -> None:
        """Remove a token of a key. Raises NotFound."""
        with self._locked():
            keys = self.load()
            key = self._of(keys, name)
            left = tuple(token for token in key.urls if token.id != token_id)
            if len(left) == len(key.urls):
                raise NotFound(f"Key {name!r} has no URL with the id {token_id[:60]!r}.")
            self._write(_with(keys, replace(key, urls=left)))

    def _of(self, keys: Keys, name: str) -> AccessKey:
        key = keys.named(name)
        if key is None:
            raise NotFound(f"There is no key named {name!r} in {self.path}.")
        return key

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold an exclusive lock on the file: two commands that read the old file would lose a
        change.

        The lock ends with its process. Raises InvalidInput if it is held.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(f".{self.path.name}.lock")
        lock = FileLock(path, timeout=0, mode=MODE)
        try:
            lock.acquire()
        except Timeout as error:
            raise InvalidInput(
                f"Somebody else is changing {self.path}.", hint="Try again in a moment."
            ) from error
        try:
            yield
        finally:
            with suppress(PermissionError):  # on Windows while the file is open
                # Unlinked while locked: a waiting process notices that
                path.unlink(missing_ok=True)
            lock.release()

    def _write(self, keys: Keys) -> None:
        """Write the file atomically, readable for its owner only."""
        entries: Json = {"keys": [key.dump() for key in keys]}
        if keys.former:
            times = keys.former.items()
            entries["former"] = [{"name": name, "revoked_at": time} for name, time in times]
        text = json.dumps(entries, indent=2)
        remove_left(self.path.parent, deep=False)  # temporary files of killed commands
        write_atomically(self.path, f"{text}\n".encode(), MODE, durable=True)

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
