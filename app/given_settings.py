"""Settings as they are given, and what is given in vain."""

import logging
import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream

from app.errors import BadSettings
from app.settings import ENV_ENCODING, Settings

# It tells of a line that it cannot read, without the name of the file, each time it reads it.
logging.getLogger("dotenv").setLevel(logging.CRITICAL)

FILE = ".env"
PREFIX = "COMFYUI_"
OF_CLIENTS = "COMFYUI_API_KEY"  # what clients call their key, in the environment
NEAR, VERY_NEAR = 0.6, 0.8  # ratios of difflib; other programs have variables with our prefix

# Settings that were removed, with the value that is fixed now.
REMOVED = {
    "COMFYUI_CANCEL_GRACE": "120 seconds",
    "COMFYUI_CLIENT_TIMEOUT": "30 seconds",
    "COMFYUI_FETCH_TIMEOUT": "60 seconds",
    "COMFYUI_MAX_INLINE_BYTES": "16 MiB",
    "COMFYUI_MAX_STREAMS": "3000",
    "COMFYUI_MAX_WAIT": "600 seconds",
    "COMFYUI_OPEN_METRICS": "False: where keys are in use, give Prometheus one with scope read, as "
    "its bearer token",
    "COMFYUI_POLL_INTERVAL": "2 seconds",
    "COMFYUI_PRIORITY_AGEING": "300 seconds",
    "COMFYUI_WEBHOOK_SCHEDULE": "5,30,120,600,1800,3600,10800,21600,43200 seconds",
}


def read_settings(**given: Any) -> Settings:
    """What is given before the environment before .env. Raises BadSettings for a .env that cannot
    be read, and ValidationError."""
    _statements()
    return Settings(**given)


def without_effect() -> list[str]:
    """Return a warning for each line of .env, and each variable, that sets nothing."""
    statements = _statements()
    in_file = {found.key.upper() for found in statements if found.key}
    in_environment = {name.upper() for name in os.environ}
    removed = [
        f"{name} has no effect: it is no setting any more, its value is {value}."
        for name, value in REMOVED.items()
        if name in in_file | in_environment
    ]
    in_environment -= {OF_CLIENTS, *in_file}
    return [
        *removed,
        *_unreadable(statements),
        *_unknown(in_file, FILE, NEAR),
        *_unknown(in_environment, "the environment", VERY_NEAR),
    ]


def _statements() -> Sequence[Binding]:
    """Return the statements of .env. Raises BadSettings for what is no text in UTF-8."""
    path = Path(FILE)
    if path.is_dir():  # as Docker makes one where it is to mount a file that is not there
        raise BadSettings(f"The file {FILE} cannot be read: it is a folder. Remove it.")
    if not path.is_file():
        return ()
    try:
        text = path.read_text(encoding=ENV_ENCODING)
    except OSError as error:
        raise BadSettings(f"The file {FILE} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # half of it is in UTF-16, if PowerShell's `>>` has added to it
        raise BadSettings(f"The file {FILE} cannot be read: not all is in UTF-8. Save it as UTF-8.")
    return tuple(parse_stream(StringIO(text)))


def _unreadable(statements: Sequence[Binding]) -> Iterator[str]:
    for found in statements:
        is_ours = found.key is not None and found.key.upper().startswith(PREFIX)
        if found.error or (is_ours and found.value is None):
            text = found.original.string  # with the empty lines before it
            line = found.original.line + text[: -len(text.lstrip())].count("\n")
            yield (
                f"Line {line} of {FILE} has no effect: it is not NAME=VALUE. Correct it, or begin "
                "it with #."
            )


def _unknown(names: set[str], where: str, ratio: float) -> Iterator[str]:
    """Warn of names that are no settings: in .env of all, elsewhere of those like a setting."""
    fields = [name.upper() for name in Settings.model_fields]
    known = {field.removeprefix(PREFIX): field for field in fields} | {
        name: name for name in fields
    }
    for name in sorted(names - REMOVED.keys() - {PREFIX + field for field in fields}):
        if not name.startswith(PREFIX):
            continue
        near = get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=ratio)
        if near:
            remedy = f"Did you mean {PREFIX}{known[near[0]]}?"
        elif where == FILE:
            remedy = "docs/settings.md has all that there are."
        else:
            continue
        yield f"{name[:100]} in {where} has no effect: there is no such setting. {remedy}"
