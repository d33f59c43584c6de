"""Who asks, and whether they may."""

import json
import stat
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.auth.authenticator import Access
from app.auth.key_store import KeyFile
from app.auth.model import AccessKey, AccessLevel
from app.auth.secrets import hash_of
from app.auth.url_tokens import new_token
from app.errors import Forbidden, InvalidInput, NotFound, Unauthorized

Json = dict[str, Any]


def entry(name: str = "app", text: str = "secret", **fields: Any) -> Json:
    return {"name": name, "hash": hash_of(text), **fields}


def test_scopes_contain_each_other() -> None:
    access = Access(
        json.dumps(
            [
                entry(scope.word, scope.word, scope=scope.word)
                for scope in (AccessLevel.READ, AccessLevel.RUN, AccessLevel.MANAGE)
            ]
        )
    )
    for has in (AccessLevel.READ, AccessLevel.RUN, AccessLevel.MANAGE):
        key = access.identify(has.word)
        for needed in AccessLevel:
            if needed <= has:
                assert access.caller(key, needed).scope is has
            else:
                with pytest.raises(Forbidden, match=needed.word):
                    access.caller(key, needed)
    with pytest.raises(Unauthorized):
        access.identify("wrong")
    with pytest.raises(Unauthorized):
        access.caller(None, AccessLevel.READ)
    assert access.caller(None, AccessLevel.OPEN).visible_owner == ""


def test_a_token_for_paths_stands_for_its_key_in_comfyuis_own_protocol_only() -> None:
    text, token = new_token("")
    key = entry("boss", scope="manage", daily=3, urls=[token.dump()])
    access = Access(json.dumps([key, entry("other", "two")]))
    for in_path in (True, False):
        found = access.identify_native(text, in_path=in_path)
        assert found is not None
        assert (found.name, found.scope, found.daily) == ("boss", AccessLevel.RUN, 3)
        with pytest.raises(Unauthorized):
            access.identify_native("wrong", in_path=in_path)
    with pytest.raises(Unauthorized):
        access.identify(text)
    with pytest.raises(Unauthorized):
        access.identify_native("secret", in_path=True)
    whole = access.identify_native("secret", in_path=False)
    assert whole is not None
    assert whole.scope is AccessLevel.MANAGE


async def test_a_token_ends_alone(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.add(AccessKey.load(entry()))
    access, ended = Access(str(file.path)), []
    texts = []
    for _ in range(2):
        text, token = new_token("")
        file.add_url("app", token)
        texts.append((text, token.id))
    keys = [access.identify_native(text, in_path=True) for text, _ in texts]
    with ExitStack() as stack:
        for (_, token_id), key in zip(texts, [*keys], strict=True):
            assert key is not None
            stack.enter_context(access.until_revoked(key, partial(ended.append, token_id)))
        await access._end_revoked()
        assert ended == []
        file.revoke_url("app", texts[0][1])
        await access._end_revoked()
        assert ended == [texts[0][1]]
        with pytest.raises(NotFound):
            file.revoke_url("app", texts[0][1])
        with pytest.raises(NotFound):
            file.revoke_url("nobody", texts[1][1])
        file.revoke("app")
        await access._end_revoked()
        assert ended == [token_id for _, token_id in texts]


def test_a_port_is_bound_to_a_key_by_its_name() -> None:
    access = Access(json.dumps([entry("boss", scope="manage")]))
    key = access.of_port("boss")
    assert key is not None
    assert (key.name, key.scope) == ("boss", AccessLevel.RUN)
    assert access.trouble_with_port("boss") is None
    with pytest.raises(Unauthorized, match="'nobody'"):
        access.of_port("nobody")
    assert "keys add nobody" in (access.trouble_with_port("nobody") or "")
    assert Access("").of_port(None) is None


def test_without_keys_everybody_may_do_all() -> None:
    access = Access("")
    assert access.identify("anything") is None
    caller = access.caller(None, AccessLevel.MANAGE)
    assert caller.is_unrestricted
    assert caller.name is None


# -- their file ---------------------------------------------------------------------------------
def test_the_file_is_for_its_owner_alone_and_changes_count_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "keys.json"
    access = Access(str(path))  # not there yet: nobody gets in
    with pytest.raises(Unauthorized):
        access.identify("secret")
    file = KeyFile(path)
    file.add(AccessKey.load(entry()))
    if sys.platform != "win32":  # there it is the folder's permissions that count
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" not in path.read_text(encoding="utf-8")
    assert getattr(access.identify("secret"), "name", None) == "app"
    file.add(AccessKey.load(entry("other", "two")))
    with pytest.raises(InvalidInput):
        file.add(AccessKey.load(entry("other", "three")))
    file.revoke("app")
    with pytest.raises(Unauthorized):
        access.identify("secret")
    assert access.identify("two") is not None
    with pytest.raises(NotFound):
        file.revoke("app")
    assert sorted(name.name for name in path.parent.iterdir()) == ["keys.json"]
    path.unlink()
    with pytest.raises(Unauthorized):
        access.identify("two")


def test_a_broken_file_changes_nothing_while_we_run_and_stops_a_start(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([entry()]), encoding="utf-8")
    access = Access(str(path))
    path.write_text('[{"name"', encoding="utf-8")
    assert access.identify("secret") is not None
    assert access.trouble
    assert str(path) in access.trouble
    with pytest.raises(InvalidInput):
        Access(str(path))
    path.write_text(json.dumps([entry(text="new")]), encoding="utf-8")
    assert access.identify("new") is not None
    assert access.trouble is None
    with pytest.raises(Unauthorized):
        access.identify("secret")


def test_a_file_without_keys_is_told_with_the_way_to_make_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    access = Access(str(path))
    assert "not there" in str(access.trouble)
    assert "start.py keys add me --scope manage`" in str(access.trouble)
    path.write_text("[]", encoding="utf-8")
    assert "holds no key" in str(access.trouble)
    path.write_text(json.dumps([entry()]), encoding="utf-8")
    assert access.trouble is None
    assert "--inline`" in str(Access("[]").trouble)
