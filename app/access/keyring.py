"""Where keys are kept: a JSON file that may change at any time, or the setting itself."""

import hmac
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.access.model import AccessKey, check_names
from app.access.secrets import hash_of
from app.errors import GatewayError, InvalidInput, NotFound

log = logging.getLogger(__name__)

MODE = 0o600  # for the operator's eyes only
Stamp = tuple[int, int, int]  # differs whenever the file was replaced or written


@dataclass(frozen=True, slots=True)
class Keys:
    """A set of keys, by their hashes."""

    by_hash: dict[str, AccessKey]

    @classmethod
    def of(cls, keys: Iterable[AccessKey]) -> "Keys":
        """Raises InvalidInput."""
        found = list(keys)
        check_names(found)
        return cls({key.hash: key for key in found})

    def find(self, text: str) -> AccessKey | None:
        """The key with this text. All are compared, each in constant time: how long it takes
        tells nothing of which one was nearest."""
        wanted, found = hash_of(text), None
        for key in self.by_hash.values():
            if hmac.compare_digest(key.hash, wanted):
                found = key
        return found

    def named(self, name: str) -> AccessKey | None:
        return next((key for key in self if key.name == name), None)

    def __iter__(self) -> Iterator[AccessKey]:
        return iter(self.by_hash.values())


def parse(text: str) -> Keys:
    """Keys out of JSON: {"keys": [...]}, or the list alone. Raises InvalidInput."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"The keys are not valid JSON: {error}.") from error
    entries = value.get("keys") if isinstance(value, dict) else value
    if not isinstance(entries, list):
        raise InvalidInput('A list of keys is wanted, or {"keys": [...]}.')
    return Keys.of(AccessKey.load(entry) for entry in entries)


def is_inline(setting: str) -> bool:
    """Whether the setting is the keys themselves, not the path of their file."""
    return setting.lstrip()[:1] in ("[", "{")


class KeyFile:
    """The keys in a file. A missing file has none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble: str | None = None  # why the file as it is now is not in force
        self._stamp: Stamp | None = None
        self._keys = Keys({})

    def load(self) -> Keys:
        """Raises InvalidInput for a file that is none of ours."""
        stamp = self._stamp_now()
        self._keys = Keys({}) if stamp is None else parse(self.path.read_text(encoding="utf-8"))
        self._stamp = stamp
        return self._keys

    def current(self) -> Keys:
        """What is in the file now. Looking costs a stat, so it is done for each request.

        A file that somebody is editing by hand, and that is not JSON for a moment, changes
        nothing: the keys before it stay in force, and `trouble` says so.
        """
        try:
            if self._stamp_now() != self._stamp:
                self.load()
                self.trouble = None
        except (OSError, UnicodeDecodeError, GatewayError) as error:
            trouble = f"{self.path} cannot be read; the keys before it stay in force: {error}"
            if trouble != self.trouble:
                log.error("%s", trouble)
            self.trouble = trouble
        return self._keys

    def add(self, key: AccessKey) -> None:
        """Raises InvalidInput if the name is taken."""
        with self._locked():
            self._write([*self.load(), key])

    def revoke(self, name: str) -> None:
        """Raises NotFound."""
        with self._locked():
            keys = self.load()
            if keys.named(name) is None:
                raise NotFound(f"There is no key named {name!r} in {self.path}.")
            self._write([key for key in keys if key.name != name])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: two commands that both read the old file would lose a change."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE)
        except FileExistsError as error:
            raise InvalidInput(
                f"Somebody else is changing {self.path}.", hint=f"If not, remove {lock}."
            ) from error
        try:
            yield
        finally:
            os.close(descriptor)
            lock.unlink(missing_ok=True)

    def _write(self, keys: list[AccessKey]) -> None:
        """Whole or not at all, and never readable for others."""
        Keys.of(keys)
        text = json.dumps({"keys": [key.dump() for key in keys]}, indent=2)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(MODE)
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
