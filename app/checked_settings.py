"""The settings in the form that the rest of the gateway expects."""

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import SecretStr

from app.auth.authenticator import Access
from app.auth.native_ports import parse_all, ports_of
from app.auth.origins import checked_host, checked_origin
from app.base_path import checked_base_path
from app.db.engine.database import parse_url
from app.errors import BadSettings, InvalidInput, UrlNotAllowed, reason_for_operators
from app.files.stores.factory import parse_files_url
from app.outbound.guard import Guard, check_allowed
from app.redis import check_url
from app.servers.addresses import base_url, leads_back
from app.servers.passing import checked_pass
from app.settings import Settings
from app.webhooks.requests import events_of
from app.webhooks.signing import key_of


def _each(check: Callable[[str], str]) -> Callable[[Iterable[str]], list[str]]:
    return lambda values: list(dict.fromkeys(map(check, values)))


def _secret(check: Callable[[str], object]) -> Callable[[SecretStr | None], SecretStr | None]:
    def checked(value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check(value.get_secret_value())
        return value

    return checked


# Each returns the value in the form that the rest of the gateway expects, or raises.
_CHECKS: dict[str, Callable[[Any], object]] = {
    "root_path": checked_base_path,
    "comfyui_server": _each(base_url),
    "database_url": _secret(parse_url),
    "files_url": lambda url: parse_files_url(url) if url else url,
    "redis_url": _secret(check_url),
    "allow_private_urls": _each(check_allowed),
    "webhook_url": _secret(Guard(["*"]).check),
    "webhook_secret": _secret(key_of),
    "webhook_events": lambda events: list(events_of(events)),
    "api_keys": _secret(Access),
    "allowed_hosts": _each(checked_host),
    "cors_origins": _each(checked_origin),
    "native_pass": _each(checked_pass),
}


def checked(settings: Settings) -> Settings:
    """Return the settings with normalized values. Raise BadSettings for invalid ones."""
    values, faults = dict(settings), []
    for name, check in _CHECKS.items():
        try:
            values[name] = check(values[name])
        except (InvalidInput, UrlNotAllowed, ValueError, OSError) as error:
            faults.append(f"Setting COMFYUI_{name.upper()}: {reason_for_operators(error)}")
    try:
        keys = settings.api_keys.get_secret_value()
        ports_of(settings.native_ports, main_port=settings.port, keys=keys)
    except BadSettings as error:
        faults.append(str(error))
    if faults:
        raise BadSettings("\n".join(faults))
    return Settings.model_construct(settings.model_fields_set, **values)


def listened_on(settings: Settings) -> list[tuple[str, int]]:
    """Return the hosts and ports that the gateway listens on."""
    ports = parse_all(settings.native_ports)
    return [(settings.host, settings.port), *((each.host, each.port) for each in ports)]


def refuse_own_addresses(settings: Settings) -> None:
    """Raise BadSettings if a ComfyUI server is said to be where the gateway itself listens."""
    bound = listened_on(settings)
    for url in settings.comfyui_server:
        if leads_back(url, bound):
            raise BadSettings(
                f"Setting COMFYUI_COMFYUI_SERVER (--comfyui-server): the gateway itself listens on "
                f"{url}, by --port or COMFYUI_NATIVE_PORTS. Name ComfyUI's address, and give the "
                "gateway another port."
            )
