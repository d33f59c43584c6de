"""Keys, their file, rates, hosts and origins: the pure parts."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.middleware.credentials import key_text
from app.auth import cli as commands
from app.auth.authenticator import Access
from app.auth.key_store import KeyFile, Keys, parse
from app.auth.model import AccessKey, Rate, Scope, caller_of
from app.auth.origins import check_host, check_origin, checked_origin, host_name, is_loopback
from app.auth.rate_limits import take
from app.auth.secrets import PREFIX, hash_of, new_key
from app.db.quotas import full, within
from app.errors import (
    Forbidden,
    HostNotAllowed,
    InvalidInput,
    NotFound,
    OriginNotAllowed,
    Unauthorized,
)
from app.tasks.model import Assignment, Waiting
from app.workflows.requirements import Needs

Json = dict[str, Any]


def entry(name: str = "app", text: str = "secret", **fields: Any) -> Json:
    return {"name": name, "hash": hash_of(text), **fields}


# -- keys ---------------------------------------------------------------------------------------


def test_keys_are_long_random_and_of_plain_characters() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        assert key.startswith(PREFIX)
        assert len(key) == len(PREFIX) + 43  # 256 bits, 6 a character
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def test_a_key_is_the_same_after_writing_and_reading() -> None:
    fields = entry(scope="manage", rate="5/second", concurrent=1, queued=2, daily=3)
    assert AccessKey.load(fields).dump() == fields
    assert AccessKey.load(entry()).scope is Scope.RUN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "A B"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": None}, "name"),
        ({"hash": "secret"}, "hash"),
        ({"scope": "root"}, "scope"),
        ({"scope": "open"}, "scope"),
        ({"scope": ["run"]}, "scope"),
        ({"rate": "60"}, "rate"),
        ({"rate": "0/minute"}, "rate"),
        ({"rate": 60}, "rate"),
        ({"daily": 0}, "daily"),
        ({"queued": True}, "queued"),
        ({"concurrent": "4"}, "concurrent"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(change: Json, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        AccessKey.load({**entry(), **change})


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


def test_scopes_contain_each_other() -> None:
    access = Access(
        json.dumps(
            [
                entry(scope.word, scope.word, scope=scope.word)
                for scope in (Scope.READ, Scope.RUN, Scope.MANAGE)
            ]
        )
    )
    for has in (Scope.READ, Scope.RUN, Scope.MANAGE):
        key = access.identify(has.word)
        for needed in Scope:
            if needed <= has:
                assert access.caller(key, needed).scope is has
            else:
                with pytest.raises(Forbidden, match=needed.word):
                    access.caller(key, needed)
    with pytest.raises(Unauthorized):
        access.identify("wrong")
    with pytest.raises(Unauthorized):
        access.caller(None, Scope.READ)
    assert access.caller(None, Scope.OPEN).sees == ""


def test_without_keys_everybody_may_do_all() -> None:
    access = Access("")
    assert access.identify("anything") is None
    caller = access.caller(None, Scope.MANAGE)
    assert caller.sees_all
    assert caller.name is None


def test_what_a_key_sees() -> None:
    run, manage = (AccessKey.load(entry(scope=scope)) for scope in ("run", "manage"))
    assert caller_of(run, shared=False).sees == "app"
    assert caller_of(run, shared=True).sees_all
    assert caller_of(manage, shared=False).sees_all
    with pytest.raises(Forbidden):
        caller_of(run, shared=False).need_all("this")


# -- their file ---------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_alone_and_changes_count_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "keys.json"
    access = Access(str(path))  # not there yet: nobody gets in
    with pytest.raises(Unauthorized):
        access.identify("secret")
    file = KeyFile(path)
    file.add(AccessKey.load(entry()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" not in path.read_text()
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
    path.write_text(json.dumps([entry()]))
    access = Access(str(path))
    path.write_text('[{"name"')
    assert access.identify("secret") is not None
    assert access.trouble
    assert str(path) in access.trouble
    with pytest.raises(InvalidInput):
        Access(str(path))
    path.write_text(json.dumps([entry(text="new")]))
    assert access.identify("new") is not None
    assert access.trouble is None
    with pytest.raises(Unauthorized):
        access.identify("secret")


def test_a_change_that_is_under_way_is_not_overwritten(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    (tmp_path / ".keys.json.lock").touch()
    with pytest.raises(InvalidInput, match="changing"):
        file.add(AccessKey.load(entry()))
    assert not file.path.exists()


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands.main(["add", "me", "--scope", "manage", "--rate", "9/minute", "--daily", "7"], "")
    shown = capsys.readouterr()
    text = shown.out.strip()
    assert "COMFYUI_API_KEYS=api_keys.json" in shown.err
    key = Access("api_keys.json").identify(text)
    assert key is not None
    assert (key.name, key.scope, key.rate, key.daily) == ("me", Scope.MANAGE, Rate(9, 60), 7)
    commands.main(["list"], "api_keys.json")
    listed = capsys.readouterr().out
    assert "me  scope=manage rate=9/minute daily=7" in listed
    assert text not in listed
    assert hash_of(text) not in listed
    commands.main(["revoke", "me"], "api_keys.json")
    with pytest.raises(Unauthorized):
        Access("api_keys.json").identify(text)
    capsys.readouterr()
    commands.main(["add", "box", "--inline"], "[]")
    shown = capsys.readouterr()
    setting = shown.err.partition("COMFYUI_API_KEYS='")[2].rstrip("'\n")
    assert Access(setting).identify(shown.out.strip()) is not None
    with pytest.raises(InvalidInput, match="COMFYUI_API_KEYS itself"):
        commands.main(["revoke", "box"], setting)


def test_a_name_that_was_revoked_is_taken_over_on_purpose_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")

    def run(*words: str) -> None:
        commands.main(["--file", file, *words], file)

    for name in ("alice", "bob"):
        run("add", name)
        run("revoke", name)
    for _ in range(2):
        with pytest.raises(InvalidInput, match="its tasks, uploads, results") as refused:
            run("add", "alice")
    assert "--take-over" in (refused.value.hint or "")
    assert "revoked 20" in refused.value.detail
    capsys.readouterr()
    run("list")
    shown = capsys.readouterr()
    assert (shown.out, "alice, bob" in shown.err) == ("", True)
    run("add", "alice", "--take-over")
    run("add", "carol")
    assert [key.name for key in KeyFile(Path(file)).load()] == ["alice", "carol"]
    with pytest.raises(InvalidInput, match="two keys"):
        run("add", "alice", "--take-over")
    run("revoke", "alice")
    with pytest.raises(InvalidInput, match="would belong"):
        run("add", "alice")
    with pytest.raises(InvalidInput, match="would belong"):
        run("add", "bob")
    run("add", "bob", "--same-owner")


def test_a_name_is_one_name_in_whatever_case(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    former = [{"name": "ALICE", "revoked_at": "2026-01-01"}, {"name": "Bob"}]
    file.path.write_text(json.dumps({"keys": [entry()], "former": former}))
    for name in ("alice", "bob"):
        with pytest.raises(InvalidInput, match="There was a key named"):
            file.add(AccessKey.load({**entry(), "name": name, "hash": "0" * 64}))
    with pytest.raises(InvalidInput, match="cannot be one"):
        AccessKey.load({**entry(), "name": "Alice"})
    for wrong in ("alice", ["alice"], [{"name": 3}], {}):
        with pytest.raises(InvalidInput, match="former"):
            parse(json.dumps({"keys": [], "former": wrong}))


# -- where a key stands in a request ------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "protocols", "found"),
    [
        ({}, [], None),
        ({"authorization": "Bearer abc"}, [], "abc"),
        ({"authorization": "bearer  abc "}, [], "abc"),
        ({"x-api-key": "abc"}, [], "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "abc"}, [], "abc"),
        ({"authorization": "Basic YTpiYw=="}, [], None),
        ({}, ["comfyui-gateway", "key.abc"], "abc"),
        ({}, ["comfyui-gateway"], None),
    ],
)
def test_where_a_key_may_stand(headers: Json, protocols: list[str], found: str | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "headers": raw, "subprotocols": protocols}
    assert key_text(scope) == found
    if protocols:  # not of a WebSocket
        assert key_text({"type": "http", "headers": raw}) is None


def test_two_different_keys_are_refused() -> None:
    raw = [(b"authorization", b"Bearer abc"), (b"x-api-key", b"abd")]
    with pytest.raises(Unauthorized, match="two"):
        key_text({"type": "http", "headers": raw})


# -- rates --------------------------------------------------------------------------------------


def test_a_bucket_empties_and_fills_again() -> None:
    rate, tokens = Rate.parse("3/minute"), 3.0
    answers = []
    for elapsed in (0, 0, 0, 0, 19, 1):
        answer, tokens = take(rate, tokens, elapsed)
        answers.append((answer.allowed, answer.remaining, answer.retry_after))
    assert answers == [
        *((True, 2, 0), (True, 1, 0), (True, 0, 0)),
        *((False, 0, 20), (False, 0, 1), (True, 0, 0)),
    ]
    assert str(rate) == "3/minute"


@given(
    st.integers(1, 1000),
    st.sampled_from([1, 60, 3600, 86400]),
    st.lists(st.floats(0, 1e6), max_size=50),
)
def test_no_more_than_the_rate_ever_gets_through(
    requests: int, seconds: int, gaps: list[float]
) -> None:
    rate, tokens, allowed = Rate(requests, seconds), float(requests), 0
    for gap in gaps:
        answer, tokens = take(rate, tokens, gap)
        allowed += answer.allowed
        assert 0 <= tokens <= requests
        assert answer.allowed is (answer.retry_after == 0)
    assert allowed <= requests + sum(gaps) * requests / seconds + 1e-6


# -- shares of the servers ----------------------------------------------------------------------


def test_of_each_key_no_more_is_chosen_than_it_has_room_for() -> None:
    owners = {1: "a", 2: "a", 3: None, 4: "b", 5: "a", 6: "c"}
    waiting = [Waiting(seq, "", Needs(), None, "", 0, 0, owner) for seq, owner in owners.items()]
    chosen = [Assignment(seq, "server") for seq in owners]
    kept = within({"a": 2, "b": 0}, chosen, waiting)
    assert [gift.seq for gift in kept] == [1, 2, 3, 6]
    assert full({"a": 2, "b": 0, "c": -1}) == ["b", "c"]


# -- hosts and origins --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "name", "local"),
    [
        ("localhost", "localhost", True),
        ("LOCALHOST:8000", "localhost", True),
        ("app.localhost:1", "app.localhost", True),
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("127.9.9.9", "127.9.9.9", True),
        ("[::1]:8000", "[::1]", True),
        ("evil.example:8000", "evil.example", False),
        ("127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ("localhost.evil.example", "localhost.evil.example", False),
        ("192.168.0.2", "192.168.0.2", False),
        ("localhost@evil.example", "localhost@evil.example", False),
        ("", "", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, name: str, local: bool) -> None:
    assert host_name(host) == name
    assert is_loopback(host_name(host)) is local
    if local:
        check_host(host, [])
    else:
        with pytest.raises(HostNotAllowed):
            check_host(host, [])


def test_a_host_in_the_list_is_allowed() -> None:
    check_host("Gateway.example:443", ["gateway.example"])
    with pytest.raises(HostNotAllowed, match=r"other\.example"):
        check_host("other.example", ["gateway.example"])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gpu-box"])
def test_addresses_that_others_can_reach(host: str) -> None:
    assert not is_loopback(host)


PAGE = "http://box:8000"


@pytest.mark.parametrize(
    ("method", "origin", "site", "allowed", "passes"),
    [
        ("POST", None, None, [], True),  # curl
        ("POST", PAGE, "same-origin", [], True),
        ("POST", "https://box:8000", None, [], True),  # TLS ends before us
        ("POST", "http://evil.example", "cross-site", [], False),
        ("DELETE", "http://box:9000", "same-site", [], False),
        ("POST", "null", "cross-site", [], False),
        ("POST", None, "cross-site", [], False),
        ("POST", None, "same-site", [], False),
        ("POST", None, "none", [], True),  # typed in
        ("WEBSOCKET", "http://evil.example", None, [], False),
        ("WEBSOCKET", PAGE, None, [], True),
        ("WEBSOCKET", None, None, [], True),
        ("GET", "http://evil.example", "cross-site", [], True),  # it cannot read the answer
        ("POST", "https://app.example", "cross-site", ["https://app.example"], True),
        ("POST", "https://app.example.evil", None, ["https://app.example"], False),
        ("POST", "http://evil.example", None, ["*"], True),
    ],
)
def test_which_pages_may_change_something(
    method: str, origin: str | None, site: str | None, allowed: list[str], passes: bool
) -> None:
    def check() -> None:
        check_origin(method, host="box:8000", origin=origin, fetch_site=site, allowed=allowed)

    if passes:
        check()
    else:
        with pytest.raises(OriginNotAllowed):
            check()


def test_default_ports_go_without_saying() -> None:
    for origin in ("http://box", "http://box:80", "https://box:443"):
        check_origin("POST", host="box", origin=origin, fetch_site=None, allowed=[])


def test_origins_of_the_setting() -> None:
    assert checked_origin("HTTPS://App.example/") == "https://app.example"
    for wrong in ("app.example", "https://", "https://a/b", "https://u@a"):
        with pytest.raises(InvalidInput):
            checked_origin(wrong)


def test_no_keys_at_all_is_a_set_of_keys() -> None:
    assert list(Keys.of([])) == []
