"""What may be a path to be below, and what proxies tell of it."""

import logging

import pytest

from app import base_path
from app.base_path import LONGEST, checked_base_path, told_base_path
from app.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ""),
        ("/", ""),
        ("/comfy", "/comfy"),
        ("/comfy/", "/comfy"),
        (" /a/b-c/d.e_f~1 ", "/a/b-c/d.e_f~1"),
        ("/.well-known/..x", "/.well-known/..x"),
        (f"/{'a' * (LONGEST - 1)}", f"/{'a' * (LONGEST - 1)}"),
    ],
)
def test_what_may_be_one(text: str, path: str) -> None:
    assert checked_base_path(text) == path
    assert told_base_path([text.encode()]) == path


BAD = ["comfy", "//evil.example", "/a//b", "/a/../b", "/..", "/.", "/a b", "/a?b", "/a#b", "/a%2Fb"]
BAD += ["http://evil.example/a", "/\xe9", '/"><script>', "/a\n/b", f"/{'a' * LONGEST}"]


@pytest.mark.parametrize("text", BAD)
def test_what_is_none(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidInput):
        checked_base_path(text)
    with caplog.at_level(logging.WARNING):
        assert told_base_path([text.encode("latin-1")]) == ""
    assert len(caplog.text) < 500


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([b"/a", b"/b"], "/a/b"),
        ([b"/a, /b/"], "/a/b"),
        ([b"/a,/b", b"/", b"/c"], "/a/b/c"),
        ([b"/a", b"b"], ""),
        ([b"/a", b"/../b"], ""),
        ([b"/" + b"a" * 200, b"/" + b"b" * 200], ""),
    ],
)
def test_several_proxies_are_in_their_order(values: list[bytes], path: str) -> None:
    assert told_base_path(values) == path


def test_the_log_says_once_a_minute_what_is_ignored(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any client can send what is none, also without a key, and another one each time."""
    clock = [0.0]
    monkeypatch.setattr(base_path, "_ignored", base_path.Ignored())
    monkeypatch.setattr(base_path.time, "monotonic", lambda: clock[0])
    with caplog.at_level(logging.WARNING):
        for clock[0] in (0.0, base_path.QUIET - 1, base_path.QUIET):
            for number in range(3000):
                assert told_base_path([b"bad-%d" % number]) == ""
    first, second = caplog.messages
    assert first == second == "X-Forwarded-Prefix is ignored: 'bad-0' is no path such as /comfy"
