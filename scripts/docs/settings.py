"""docs/settings.md, out of the fields of `Settings`."""

from collections.abc import Mapping

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.settings import Settings

HEAD = """\
# Settings

Each setting is an environment variable, or a line in a file `.env` (start from
[`.env.example`](../.env.example)). `--host`, `--port` and `--comfyui-server` on the command line
win over both. A list has commas between its entries. With a value that cannot be the gateway does
not start, and names it.

| variable | default | meaning |
|---|---|---|
"""
TAIL = """
Packages beyond the default: `COMFYUI_FILES_URL` needs `pip install obstore`, and takes credentials
from the environment ([a bucket](deployment.md#results-and-uploads-in-a-bucket));
`COMFYUI_REDIS_URL` and PostgreSQL need what is in `requirements-cluster.txt`; pictures of videos
need `pip install av`.

This page is made by `.venv/bin/python -m scripts.docs` out of `app/settings.py`.
"""


def page(fields: Mapping[str, FieldInfo] = Settings.model_fields) -> str:
    return HEAD + "".join(_row(name, field) for name, field in fields.items()) + TAIL


def _row(name: str, field: FieldInfo) -> str:
    assert field.description, f"{name} has no description"
    return f"| `COMFYUI_{name.upper()}` | {_default(field)} | {_cell(field.description)} |\n"


def _default(field: FieldInfo) -> str:
    """The default as it would stand in `.env`."""
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, list):
        value = ",".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return "none" if value in (None, "") else f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
