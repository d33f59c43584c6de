"""Names that Windows cannot hold, or takes for others, and how they are stored there. Pure."""

import re
import unicodedata
from urllib.parse import unquote

# Windows ignores everything from the first dot on.
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_DEVICES |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
STORED = ".as-"  # prefix of an encoded name; no name of a file begins with a dot otherwise
# What no name has there; what it leaves out at the end; "~1", as in short names (PLACIN~1) that
# lead to another file
_CANNOT = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]\Z|~(?=\d)')
_QUOTED = re.compile(f"%|{_CANNOT.pattern}")
_RELATIVE = frozenset({"", ".", ".."})


def is_device(name: str) -> bool:
    """Return whether Windows takes the name for a device: "aux", "NUL.txt", "COM¹.png"."""
    base = unicodedata.normalize("NFKC", re.split("[.:]", name, maxsplit=1)[0])
    return base.strip().casefold() in _DEVICES


def fold(name: str) -> str:
    """Return a key that is equal for names which some file systems equate: "É.json", "é.JSON"."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def stored_key(key: str) -> str:
    """Return the key under which a file is on a disk of Windows; mostly the key itself."""
    return "/".join(map(_stored, key.split("/")))


def key_of(stored: str) -> str:
    """Return the key of which `stored_key` made this."""
    return "/".join(
        unquote(name.removeprefix(STORED)) if name.startswith(STORED) else name
        for name in stored.split("/")
    )


def _stored(name: str) -> str:
    if name in _RELATIVE or not (
        _CANNOT.search(name) or is_device(name) or name.startswith(STORED)
    ):
        return name
    return STORED + _QUOTED.sub(lambda found: f"%{ord(found[0]):02X}", name)
