"""Refuses names of settings that do not exist. `Settings` ignores them, since `.env` may hold
variables of other programs: a test with such a name would run with the default."""

from collections.abc import Iterable, Mapping

from app.settings import Settings


def check(names: Iterable[str]) -> None:
    unknown = set(names) - {*Settings.model_fields, "_env_file"}
    assert not unknown, f"these are no settings: {sorted(unknown)}"


def variables(settings: Mapping[str, object]) -> dict[str, str]:
    """The settings as variables of the environment."""
    check(settings)
    return {f"COMFYUI_{name.upper()}": str(value) for name, value in settings.items()}
