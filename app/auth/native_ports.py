"""Ports of their own for ComfyUI's own protocol, each bound to an API key by its name. Pure.

For clients that know a host and a port only. Whoever reaches such a port acts as the key.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.auth.model import NAME
from app.auth.origins import checked_host, is_loopback
from app.errors import BadSettings, InvalidInput, reason_for_operators

SETTING = "COMFYUI_NATIVE_PORTS"
LOOPBACK = "127.0.0.1"
_FORM = re.compile(
    r"(?:(?P<host>\[[^\[\]]*\]|[^:\[\]]*[^:\[\]\d][^:\[\]]*):)?"  # no host is digits alone
    r"(?P<port>[0-9]{1,5})(?::(?P<key>.*))?"
)
_HINT = "Write PORT:KEY, such as 8188:alice, or ADDRESS:PORT:KEY, such as 0.0.0.0:8188:alice."


@dataclass(frozen=True, slots=True)
class NativePort:
    """A port; `key_name` is None without API keys."""

    host: str  # without brackets
    port: int
    key_name: str | None

    @property
    def is_for_all(self) -> bool:
        """Whether others than this machine reach it."""
        return not is_loopback(self.host)

    @property
    def place(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "NativePort":
        """Parse an entry of the setting. Raises InvalidInput."""
        found = _FORM.fullmatch(text)
        port = int(found["port"]) if found else 0
        if found is None or not 1 <= port <= 65535:
            raise InvalidInput(f"{text[:200]!r} is no port.", hint=_HINT)
        name = found["key"]
        if name is not None and not NAME.fullmatch(name):
            raise InvalidInput(
                f"{text[:200]!r}: {name[:60]!r} cannot be the name of an API key.", hint=_HINT
            )
        host = checked_host(found["host"]) if found["host"] else LOOPBACK
        return cls(host.strip("[]"), port, name)


def parse_all(entries: Iterable[str]) -> list[NativePort]:
    """Parse the setting. Raises InvalidInput."""
    return [NativePort.parse(entry) for entry in entries]


def ports_of(entries: Iterable[str], *, main_port: int, keys: str) -> list[NativePort]:
    """Return the ports. Raises BadSettings, with the setting's name, for any that cannot be used.

    `keys`: the setting of API keys.
    """
    try:
        found = parse_all(entries)
        _check(found, main_port, keys_in_use=bool(keys.strip()))
    except InvalidInput as error:
        raise BadSettings(f"Setting {SETTING}: {reason_for_operators(error)}") from error
    return found


def lines_about(ports: Iterable[NativePort]) -> list[str]:
    """Return the lines that tell an operator where they are."""
    return [
        f"ComfyUI's own protocol on http://{each.place}"
        + (f" as {each.key_name!r}" if each.key_name else "")
        for each in ports
    ]


def _check(ports: Iterable[NativePort], main_port: int, *, keys_in_use: bool) -> None:
    """Raise InvalidInput for ports that do not go with the other settings."""
    taken = {main_port: "is the gateway's own (COMFYUI_PORT)"}
    for each in ports:
        if each.port in taken:
            raise InvalidInput(f"{each.port} {taken[each.port]}.", hint="Take another port.")
        taken[each.port] = "is there twice"
        if keys_in_use and each.key_name is None:
            raise InvalidInput(
                f"{each.place} has no API key.",
                hint=f"Write whose it is: {each.port}:NAME, with a name of `keys list`.",
            )
        if each.key_name is not None and not keys_in_use:
            raise InvalidInput(
                f"{each.place} is bound to the API key {each.key_name!r}, but none are in use.",
                hint=f"Set COMFYUI_API_KEYS, or write {each.port} alone.",
            )
