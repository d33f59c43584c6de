"""Path separators in choices, in the spelling of the server that runs a prompt. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.limits.json_types import Json
from app.workflows.checks.model_files import as_among
from app.workflows.parameters.model import WRAPPED, choices_of, definition_of, takes_upload


def as_listed(prompt: Json, object_info: Mapping[str, Json]) -> Json:
    r"""Return the prompt with choices as a server with this object_info lists them.

    A server knows either `sdxl/a.ckpt` or `sdxl\\a.ckpt`. Unchanged nodes are shared with `prompt`.
    """
    found = dict(prompt)
    for node_id, node in prompt.items():
        changed = dict(_others(node, object_info))
        if changed:
            found[node_id] = {**node, "inputs": {**node["inputs"], **changed}}
    return found


def _others(node: Json, object_info: Mapping[str, Json]) -> Iterator[tuple[str, Any]]:
    for name, value in node["inputs"].items():
        if not isinstance(value, str | dict):
            continue
        definition = definition_of(node, name, object_info)
        choices = choices_of(definition)
        if choices and not takes_upload(definition):
            other = _as_among(value, choices)
            if other != value:
                yield name, other


def _as_among(value: Any, choices: Sequence[Any]) -> Any:
    if isinstance(value, dict) and isinstance(value.get(WRAPPED), list):
        return {**value, WRAPPED: [as_among(one, choices) for one in value[WRAPPED]]}
    return as_among(value, choices)
