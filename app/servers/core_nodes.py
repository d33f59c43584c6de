"""Common node types of every ComfyUI, used until a server's object_info is loaded."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from app.limits.json_types import Json

BUILT_IN = Path(__file__).with_name("core_node_types.json")


@cache
def core_node_types() -> Json:
    """Return object_info of about ninety common node types, without server-specific choices."""
    types: Json = json.loads(BUILT_IN.read_bytes())
    for definition in types.values():
        for inputs in definition["input"].values():
            for name, entry in inputs.items():
                inputs[name] = _without_choices(entry)
    return types


def _without_choices(entry: list[Any]) -> list[Any]:
    options = dict(entry[1]) if len(entry) > 1 and isinstance(entry[1], dict) else {}
    if isinstance(entry[0], list):
        return ["COMBO", options]
    if entry[0] == "COMBO":
        options.pop("options", None)
    return [entry[0], options]
