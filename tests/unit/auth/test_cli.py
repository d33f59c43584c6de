"""The commands `keys add`, `list`, `revoke`, `url` and `revoke-url`."""

from pathlib import Path

import pytest

from app.auth import cli
from app.auth.authenticator import Access
from app.auth.key_store import KeyFile
from app.auth.model import AccessLevel, Rate
from app.auth.secrets import hash_of
from app.errors import InvalidInput, NotFound, Unauthorized


def test_the_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["add", "me", "--scope", "manage", "--rate", "9/minute", "--daily", "7"], "")
    shown = capsys.readouterr()
    text = shown.out.strip()
    assert "COMFYUI_API_KEYS=api_keys.json" in shown.err
    key = Access("api_keys.json").identify(text)
    assert key is not None
    assert (key.name, key.scope, key.rate, key.daily) == ("me", AccessLevel.MANAGE, Rate(9, 60), 7)
    cli.main(["list"], "api_keys.json")
    listed = capsys.readouterr().out
    assert "me  scope=manage rate=9/minute daily=7" in listed
    assert text not in listed
    assert hash_of(text) not in listed
    cli.main(["revoke", "me"], "api_keys.json")
    with pytest.raises(Unauthorized):
        Access("api_keys.json").identify(text)
    capsys.readouterr()
    cli.main(["add", "box", "--inline"], "[]")
    shown = capsys.readouterr()
    setting = shown.err.partition("COMFYUI_API_KEYS='")[2].rstrip("'\n")
    assert Access(setting).identify(shown.out.strip()) is not None
    for command in (["revoke", "box"], ["url", "box"], ["revoke-url", "box", "1"]):
        with pytest.raises(InvalidInput, match="COMFYUI_API_KEYS itself"):
            cli.main(command, setting)
    cli.main(["url", "box", "--inline"], setting, "http://gate.example/below")
    shown = capsys.readouterr()
    head, _, token = shown.out.strip().partition("~")
    assert head == "http://gate.example/below/comfy/"
    entry = shown.err.strip().splitlines()[-1]
    access = Access(f"[{entry}]")
    assert access.identify_native(token.rstrip("/"), in_path=True) is not None
    assert len(access.keys.by_hash) == 1
    with pytest.raises(NotFound):
        cli.main(["url", "nobody", "--inline"], setting)


def test_a_name_that_was_revoked_is_taken_over_on_purpose_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "keys.json")

    def run(*words: str) -> None:
        cli.main(["--file", file, *words], file)

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


@pytest.mark.parametrize("command", [["add", "me"], ["revoke", "me"]])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "keys.json"
    with pytest.raises(InvalidInput) as refused:
        cli.main(["--file", str(path), *command], "")
    assert str(path) in refused.value.detail
