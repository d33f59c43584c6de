"""Command line: python start.py keys add NAME --scope run | list | revoke NAME

... | url NAME | revoke-url NAME ID
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.auth.key_store import KeyFile, is_inline, parse
from app.auth.model import SCOPES, AccessKey
from app.auth.secrets import hash_of, new_key
from app.auth.url_tokens import new_token
from app.errors import InvalidInput, NotFound

SETTING = "COMFYUI_API_KEYS"
FILE = "api_keys.json"


def main(arguments: Sequence[str], setting: str, gateway_url: str = "") -> int:
    """Run a command; `setting` is the value of COMFYUI_API_KEYS, `gateway_url` where clients find
    the gateway. Raises InvalidInput, NotFound."""
    options = parser().parse_args(arguments)
    if options.file is None and is_inline(setting) and not getattr(options, "inline", False):
        raise InvalidInput(
            f"The keys stand in {SETTING} itself.",
            hint="Change them there; `keys add NAME --inline` prints an entry for it, and "
            "`keys url NAME --inline` one with a URL.",
        )
    file = KeyFile(Path(options.file or (FILE if is_inline(setting) else setting) or FILE))
    try:
        if options.command == "add":
            _add(options, file, setting)
        elif options.command == "list":
            _list(file)
        elif options.command == "url":
            _url(options, file, setting, gateway_url)
        elif options.command == "revoke-url":
            file.revoke_url(options.name, options.id)
            _say(f"Revoked the URL {options.id} of {options.name!r}. Its open sockets end.")
        else:
            _revoke(options, file)
    except OSError as error:
        path, why = file.path.absolute(), error.strerror or error
        raise InvalidInput(
            f"The keys cannot be kept in {path}: {why}.", hint="Name another file with --file."
        ) from error
    return 0


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="start.py keys", description="API keys of the gateway.")
    found.add_argument("--file", help=f"file of the keys ({SETTING}, or {FILE})")
    commands = found.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="make a key, and show it once")
    add.add_argument("name", help="whose tasks they are that it makes")
    add.add_argument("--scope", choices=SCOPES, default="run", help="what it allows (run)")
    add.add_argument("--rate", help="requests, such as 60/minute")
    add.add_argument("--concurrent", type=int, help="tasks on servers at a time")
    add.add_argument("--queued", type=int, help="tasks that may wait")
    add.add_argument("--daily", type=int, help="tasks a day (UTC)")
    add.add_argument("--inline", action="store_true", help=f"print an entry for {SETTING} instead")
    add.add_argument(
        *("--take-over", "--same-owner"),
        action="store_true",
        help="the name is a revoked key's, and what belongs to it is to be the new one's",
    )
    commands.add_parser("list", help="show the keys; not their texts, which nobody has")
    commands.add_parser("revoke", help="end a key at once").add_argument("name")
    _add_urls(commands)
    return found


def _add_urls(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    url = commands.add_parser(
        "url", help="make a URL for clients of ComfyUI that take no key, and show it once"
    )
    url.add_argument("name", help="the key that it stands for")
    url.add_argument("--inline", action="store_true", help=f"print {SETTING} with it instead")
    revoke = commands.add_parser("revoke-url", help="end such a URL at once")
    revoke.add_argument("name", help="the key that it stands for")
    revoke.add_argument("id", help="of the URL, as `keys list` shows it")


def _add(options: argparse.Namespace, file: KeyFile, setting: str) -> None:
    text = new_key()
    limits = {name: getattr(options, name) for name in ("rate", "concurrent", "queued", "daily")}
    key = AccessKey.load(
        {
            "name": options.name,
            "hash": hash_of(text),
            "scope": options.scope,
            **{name: value for name, value in limits.items() if value is not None},
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    if options.inline:
        sys.stdout.write(f"{text}\n")
        _say(f"The key is shown this once. Its entry:\n{SETTING}='[{json.dumps(key.dump())}]'")
        return
    file.add(key, take_over=options.take_over)
    sys.stdout.write(f"{text}\n")
    _say(f"The key of {key.name!r} (scope {key.scope.word}) is shown this once: keep it.")
    if Path(setting or os.devnull).resolve() != file.path.resolve():
        _say(f"To use keys, set {SETTING}={file.path} and start the gateway again.")


def _url(options: argparse.Namespace, file: KeyFile, setting: str, gateway_url: str) -> None:
    text, token = new_token(datetime.now(UTC).isoformat(timespec="seconds"))
    if options.inline:
        keys = parse(setting if is_inline(setting) else file.path.read_bytes())
        key = keys.named(options.name)
        if key is None:
            raise NotFound(f"There is no key named {options.name!r} in {SETTING}.")
        entry = json.dumps(replace(key, urls=(*key.urls, token)).dump())
    else:
        file.add_url(options.name, token)
    path = f"/comfy/~{text}/"
    sys.stdout.write(f"{gateway_url}{path}\n")
    _say(
        f"Whoever has this URL acts as {options.name!r} in ComfyUI's own protocol (scope run at "
        f"most): give it to clients as the address of ComfyUI. Behind a proxy its path is {path} "
        f"below the gateway's. It is shown this once; `keys revoke-url {options.name} {token.id}` "
        "ends it."
    )
    if options.inline:
        _say(f"The key's entry in {SETTING}:\n{entry}")


def _revoke(options: argparse.Namespace, file: KeyFile) -> None:
    file.revoke(options.name)
    _say(
        f"Revoked {options.name!r}. It works no longer, and its open streams end. Its tasks "
        "and files stay; the name is not given out again without --take-over."
    )


def _list(file: KeyFile) -> None:
    keys = file.load()
    for key in keys:
        fields = {name: value for name, value in key.dump().items() if name not in ("hash", "urls")}
        name = fields.pop("name")
        words = " ".join(f"{field}={value}" for field, value in fields.items())
        sys.stdout.write(f"{name}  {words}\n")
        for token in key.urls:
            sys.stdout.write(f"  url {token.id}  created_at={token.created_at or 'unknown'}\n")
    if keys.former:
        _say(f"Revoked, and not given out again: {', '.join(sorted(keys.former))}")


def _say(text: str) -> None:
    """Print to stderr, as stdout is for scripts."""
    sys.stderr.write(f"{text}\n")
