"""References to assets in a workflow, in place of file names. Pure.

The format is `{"__type": "core/ASSET", "info": {"id": ..., "hash": ..., "file_path": ...}}`.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from app.errors import MissingAsset
from app.limits.json_types import Json

TYPE = "core/ASSET"


def reference(asset_id: str, hash: str, file_path: str) -> Json:
    return {"__type": TYPE, "info": {"id": asset_id, "hash": hash, "file_path": file_path}}


def is_reference(value: Any) -> TypeGuard[Json]:
    return isinstance(value, dict) and value.get("__type") == TYPE


def references(value: Any) -> Iterator[Json]:
    """Yield the `info` of each reference. Raises MissingAsset for one without an id."""
    if is_reference(value):
        info = value.get("info")
        if not isinstance(info, dict) or not isinstance(info.get("id"), str) or not info["id"]:
            raise MissingAsset(
                f"A {TYPE} in the workflow has no id.",
                hint='Write {"__type": "core/ASSET", "info": {"id": "<id of the asset>"}}.',
            )
        yield info
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def replaced(value: Any, replacement: Callable[[Json], Any]) -> Any:
    """Return the value with each reference replaced by `replacement(info)`."""
    if is_reference(value):
        return replacement(value["info"])
    if isinstance(value, dict):
        return {name: replaced(item, replacement) for name, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, replacement) for item in value]
    return value
