"""The file of keys: reading, writing, names."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.auth.key_store import KeyFile, Keys, parse
from app.auth.model import AccessKey
from app.auth.secrets import hash_of
from app.auth.url_tokens import new_token
from app.errors import InvalidInput
from tests.conftest import ROOT

Json = dict[str, Any]

CHANGE = """
import sys
from pathlib import Path
from app.auth.key_store import KeyFile

with KeyFile(Path(sys.argv[1]))._locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def changing(file: KeyFile) -> Iterator[None]:
    """Another process changes the file; it is killed at the end."""
    command = [sys.executable, "-c", CHANGE, str(file.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        process.kill()


def entry(name: str = "app", text: str = "secret", **fields: Any) -> Json:
    return {"name": name, "hash": hash_of(text), **fields}


@pytest.mark.parametrize("text", ["", "{", "3", '{"keys": 1}', "[1]", '[{"name": "a"}]'])
def test_what_is_no_list_of_keys_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)


def test_two_keys_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="app"):
        parse(json.dumps([entry(), entry(text="other")]))


def test_a_key_is_found_by_its_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = parse(json.dumps([entry("a", "one"), entry("b", "two")]))
    assert [getattr(keys.find(text), "name", None) for text in ("one", "two", "three", "")] == [
        *("a", "b", None, None)
    ]
    assert keys.find(hash_of("one")) is None  # who has read the file has no key
    compared: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "hmac.compare_digest", lambda a, b: compared.append((a, b)) is not None or a == b
    )
    keys.find("one")
    assert compared == [(hash_of("one"), hash_of("one")), (hash_of("two"), hash_of("one"))]


def test_a_token_is_found_by_its_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are compared, whichever it is."""
    (one, first), (two, second) = new_token(""), new_token("")
    keys = parse(json.dumps([entry("a", "x", urls=[first.dump(), second.dump()]), entry("b", "y")]))
    for text in (one, two):
        assert getattr(keys.find_url(text), "name", None) == "a"
        assert keys.find(text) is None
    for text in ("", "x", first.hash):
        assert keys.find_url(text) is None
    assert keys.hashes == {first.hash, second.hash, hash_of("x"), hash_of("y")}
    compared: list[str] = []
    monkeypatch.setattr(
        "hmac.compare_digest", lambda a, b: compared.append(a) is not None or a == b
    )
    keys.find_url(one)
    assert compared == [first.hash, second.hash]


def test_a_change_that_is_under_way_is_not_overwritten(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    with changing(file), pytest.raises(InvalidInput, match="changing"):
        file.add(AccessKey.load(entry()))
    assert not file.path.exists()


def test_a_command_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    with changing(file):
        pass
    assert (tmp_path / ".keys.json.lock").exists()
    file.add(AccessKey.load(entry()))
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_a_name_is_one_name_in_whatever_case(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    former = [{"name": "ALICE", "revoked_at": "2026-01-01"}, {"name": "Bob"}]
    file.path.write_text(json.dumps({"keys": [entry()], "former": former}), encoding="utf-8")
    for name in ("alice", "bob"):
        with pytest.raises(InvalidInput, match="There was a key named"):
            file.add(AccessKey.load({**entry(), "name": name, "hash": "0" * 64}))
    with pytest.raises(InvalidInput, match="cannot be one"):
        AccessKey.load({**entry(), "name": "Alice"})
    for wrong in ("alice", ["alice"], [{"name": 3}], {}):
        with pytest.raises(InvalidInput, match="former"):
            parse(json.dumps({"keys": [], "former": wrong}))


def test_no_keys_at_all_is_a_set_of_keys() -> None:
    assert list(Keys.of([])) == []
