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
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(reversed(item))
        elif isinstance(item, dict):
            if item.get("__type") == TYPE:
                yield _info(item)
            else:
                stack.extend(reversed(item.values()))


def _info(found: Json) -> Json:
    info = found.get("info")
    if not isinstance(info, dict) or not isinstance(info.get("id"), str) or not info["id"]:
        raise MissingAsset(
            f"A {TYPE} in the workflow has no id.",
            hint='Write {"__type": "core/ASSET", "info": {"id": "<id of the asset>"}}.',
        )
    return info


def replaced(value: Any, replacement: Callable[[Json], Any]) -> Any:
    """Return the value with each reference replaced by `replacement(info)`."""
    if is_reference(value):
        return replacement(value["info"])
    if isinstance(value, dict):
        return {name: replaced(item, replacement) for name, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, replacement) for item in value]
    return value
