"""A key and what it may do, as the file keeps it."""

from typing import Any

import pytest

from app.auth.model import AccessKey, AccessLevel, caller_of
from app.auth.secrets import hash_of
from app.errors import Forbidden, InvalidInput

Json = dict[str, Any]


def entry(name: str = "app", text: str = "secret", **fields: Any) -> Json:
    return {"name": name, "hash": hash_of(text), **fields}


def test_a_key_is_the_same_after_writing_and_reading() -> None:
    fields = entry(scope="manage", rate="5/second", concurrent=1, queued=2, daily=3)
    fields["urls"] = [
        {"id": "1a", "hash": hash_of("one"), "created_at": "2026-01-01"},
        {"id": "2b", "hash": hash_of("two")},
    ]
    assert AccessKey.load(fields).dump() == fields
    assert AccessKey.load(entry()).scope is AccessLevel.RUN


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
        ({"urls": None}, "urls"),
        ({"urls": {}}, "urls"),
        ({"urls": ["x"]}, "urls"),
        ({"urls": [{"id": "a"}]}, "urls"),
        ({"urls": [{"id": "A B", "hash": "0" * 64}]}, "urls"),
        ({"urls": [{"id": "a", "hash": "secret"}]}, "urls"),
        ({"urls": [{"id": "a", "hash": "0" * 64, "text": "x"}]}, "urls"),
        ({"urls": [{"id": "a", "hash": "0" * 64}] * 2}, "urls"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(change: Json, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        AccessKey.load({**entry(), **change})


def test_what_a_key_sees() -> None:
    run, manage = (AccessKey.load(entry(scope=scope)) for scope in ("run", "manage"))
    assert caller_of(run, shared=False).visible_owner == "app"
    assert caller_of(run, shared=True).is_unrestricted
    assert caller_of(manage, shared=False).is_unrestricted
    with pytest.raises(Forbidden):
        caller_of(run, shared=False).need_all("this")
