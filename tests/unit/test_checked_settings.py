"""Settings that the gateway cannot use are refused by name, all of them at once."""

import pytest
from pydantic import SecretStr, ValidationError

from app.checked_settings import checked
from app.errors import BadSettings
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
    "allowed_hosts": "http://x",
    "cors_origins": "example.com",
    "native_ports": "nope",
    "native_pass": "/manager/*:127.0.0.1:8188",
}


def test_each_bad_value_is_told_by_its_variable() -> None:
    with pytest.raises(BadSettings) as refused:
        checked(Settings(_env_file=None, **BAD))
    lines = str(refused.value).splitlines()
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(
        f"Setting COMFYUI_{name.upper()}" for name in BAD
    )
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", "postgresql://u:hidden@x:hidden/z"),
        ("database_url", "sqlite://hidden"),
        ("files_url", "s3://[hidden"),
        ("cors_origins", "http://[hidden"),
        ("api_keys", "/hidden\0"),
        ("api_keys", "/"),
        *(("allowed_hosts", host) for host in ("*", "a/b", "a b", "::1", "é.example", ":80")),
    ],
)
def test_what_no_parser_takes_is_told_by_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=f"^Setting COMFYUI_{name.upper()}: ") as refused:
        checked(Settings(_env_file=None, **{name: value}))
    assert "hidden" not in str(refused.value)


FLOATS = [name for name, field in Settings.model_fields.items() if "float" in str(field.annotation)]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_no_number_is_endless(name: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(_env_file=None, **{name: value})
    assert [fault["loc"] for fault in refused.value.errors()] == [(name,)]


def test_a_level_of_the_log_is_one_of_those_that_there_are() -> None:
    for level in ("debug", "INFO", "Warning", "CRITICAL"):
        assert Settings(_env_file=None, log_level=level).log_level == level
    for level in ("loud", "", "10"):
        with pytest.raises(ValidationError, match="DEBUG, INFO, WARNING or ERROR"):
            Settings(_env_file=None, log_level=level)


def test_what_is_usable_comes_in_one_form_and_stays_as_it_is() -> None:
    given = Settings(
        _env_file=None,
        comfyui_server="HOST:9, host:9",
        cors_origins="https://A.example",
        allowed_hosts="Gate.example:80, [::1]:80, my_host.",
        webhook_url="http://10.0.0.1/",
    )
    found = checked(given)
    assert found.comfyui_server == ["http://host:9"]
    assert found.cors_origins == ["https://a.example"]
    assert found.allowed_hosts == ["gate.example", "[::1]", "my_host"]
    assert found.webhook_url == SecretStr("http://10.0.0.1/")
    assert checked(found) == found
    assert found.model_fields_set == given.model_fields_set


def test_the_defaults_are_usable() -> None:
    found = checked(Settings(_env_file=None))
    assert found.comfyui_server == ["http://127.0.0.1:8188"]
    assert found.webhook_events == list(FINALS)
