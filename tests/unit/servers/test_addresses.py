"""What an address of a server may be, and what it means, wherever it is given."""

import sys
from typing import Any

import pytest

import start
from app.checked_settings import checked
from app.errors import BadSettings, InvalidInput
from app.main import create_app
from app.servers.addresses import base_url, leads_back, may_be_one_machine
from app.settings import Settings

MEANT = {
    "127.0.0.1": "http://127.0.0.1:8188",
    "localhost": "http://localhost:8188",
    "http://host": "http://host:8188",
    "http://host/": "http://host:8188",
    "a.b.c": "http://a.b.c:8188",
    "host:9": "http://host:9",
    "HOST:9": "http://host:9",
    "https://host": "https://host:443",
    "https://host/comfy/": "https://host:443/comfy",
    "http://host/comfy": "http://host:80/comfy",
    "[::1]": "http://[::1]:8188",
    "[::1]:9": "http://[::1]:9",
    " host:9 ": "http://host:9",
}
REFUSED = (
    *("", "nonsense", "host:99999", "host:0", "host:-1", "host:abc", "host:", "ftp://x", "http://"),
    *("a b:1", "a:1:2", "::1", "[::1", "user:secret@host:8188", "http://user@host", "host?x=1"),
    *("http://host:8188#x", "file:///etc/passwd", "\n", "a..b:1", "-" * 300 + ":1"),
)


@pytest.mark.parametrize("address", MEANT)
def test_what_an_address_means(address: str) -> None:
    assert base_url(address) == MEANT[address]
    assert base_url(MEANT[address]) == MEANT[address]
    settings = checked(Settings(comfyui_server=address, _env_file=None))
    assert settings.comfyui_server == [MEANT[address]]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_no_address(address: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        base_url(address)
    assert caught.value.hint
    assert "secret" not in caught.value.detail
    with pytest.raises(BadSettings):
        checked(Settings(comfyui_server=[address], _env_file=None))
    monkeypatch.setattr(sys, "argv", ["start.py", f"--comfyui-server={address}"])
    if "," not in address:
        assert start.main() == 2
        said = capsys.readouterr().err
        assert said.startswith("Setting COMFYUI_COMFYUI_SERVER")
        assert "secret" not in said


async def test_what_may_be_one_machine() -> None:
    one = "http://127.0.0.1:8188"
    assert await may_be_one_machine(one, "http://localhost:8188")
    assert await may_be_one_machine(one, "http://127.0.0.2:8188/x"), "both are here"
    assert not await may_be_one_machine(one, "http://localhost:8189")
    assert not await may_be_one_machine(one, "http://192.0.2.1:8188")
    assert not await may_be_one_machine(one, "http://no-such-name.invalid:8188")


@pytest.mark.parametrize(
    ("url", "host", "is_ours"),
    [
        ("http://127.0.0.1:8188", "127.0.0.1", True),
        ("http://localhost:8188/x", "127.0.0.1", True),
        ("http://localhost:8188", "0.0.0.0", True),
        ("http://[::1]:8188", "::", True),
        ("http://gpu:8188", "gpu", True),
        ("http://127.0.0.1:8189", "127.0.0.1", False),
        ("http://gpu:8188", "0.0.0.0", False),
        ("http://127.0.0.1:8188", "192.0.2.1", False),
    ],
)
def test_what_leads_back_to_the_gateway(url: str, host: str, is_ours: bool) -> None:
    assert leads_back(url, [("127.0.0.1", 0), (host, 8188)]) is is_ours


@pytest.mark.parametrize("where", [{"port": 8188}, {"native_ports": ["8188"]}])
def test_a_gateway_is_no_server_of_its_own(where: dict[str, Any]) -> None:
    with pytest.raises(BadSettings, match="the gateway itself listens on"):
        create_app(Settings(_env_file=None, **where))
