"""Settings that the gateway cannot use are refused by name, all of them at once."""

import pytest
from pydantic import SecretStr

from app.container import BadSettings, checked
from app.settings import Settings
from app.tasks.webhook import FINALS

BAD = {
    "comfyui_server": "ftp://x",
    "database_url": "mysql://u:hidden@h/x",
    "files_url": "ftp://bucket",
    "redis_url": "http://:hidden@x",
    "allow_private_urls": "10.0.0.0/99",
    "webhook_url": "http://u:hidden@x/",
    "webhook_secret": "hidden",
    "webhook_events": "nope",
    "api_keys": '[{"name": "a", "hash": "hidden"}]',
    "cors_origins": "example.com",
}


def test_each_bad_value_is_told_by_its_variable() -> None:
    with pytest.raises(BadSettings) as refused:
        checked(Settings(_env_file=None, **BAD))
    lines = str(refused.value).splitlines()
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(
        f"Setting COMFYUI_{name.upper()}" for name in BAD
    )
    assert "hidden" not in str(refused.value)


def test_what_is_usable_comes_in_one_form_and_stays_as_it_is() -> None:
    given = Settings(
        _env_file=None,
        comfyui_server="HOST:9, host:9",
        cors_origins="https://A.example",
        allowed_hosts="Gate.example:80",
        webhook_url="http://10.0.0.1/",
    )
    found = checked(given)
    assert found.comfyui_server == ["http://host:9"]
    assert found.cors_origins == ["https://a.example"]
    assert found.allowed_hosts == ["gate.example"]
    assert found.webhook_url == SecretStr("http://10.0.0.1/")
    assert checked(found) == found
    assert found.model_fields_set == given.model_fields_set


def test_the_defaults_are_usable() -> None:
    found = checked(Settings(_env_file=None))
    assert found.comfyui_server == ["http://127.0.0.1:8188"]
    assert found.webhook_events == list(FINALS)
