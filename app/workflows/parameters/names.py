"""Names of parameters, from roles and from marks in titles. Pure.

Supported marks, each a convention of an existing tool: `$name` in a title; titles
`input;Name;...;custom_id=name`; titles with VC_BASIC or VC_ADV; nodes ComfyUIDeployExternal*
(`input_id`), CPackInput* (title) and ServingInput* (`argument`).
"""

import re
from collections.abc import Mapping

from app.limits.json_types import Json
from app.workflows.parameters.roles import InputKey

MAX_TITLE = 500  # characters of a title in answers; it is repeated for each input of the node
MAX_LENGTH = 100  # characters of a title or mark that are used for a name

_DOLLAR = re.compile(r"\$([A-Za-z_][\w-]*)")
_VIEWCOMFY = re.compile(r"\bVC_(?:BASIC|ADV)\w*")
_CARRIERS = ("default_value", "value", "default", "image", "text")


def names_of(prompt: Mapping[str, Json], roles: Mapping[InputKey, str]) -> dict[InputKey, str]:
    """Return unique names for the literal inputs; no name equals a key."""
    names: dict[InputKey, str] = {}
    taken = {f"{node_id}.{name}" for node_id, node in prompt.items() for name in node["inputs"]}
    counts: dict[str, int] = {}  # for names that are used repeatedly

    def give(key: InputKey, name: str) -> None:
        if name and key not in names:
            names[key] = _free(name, taken, counts)
            taken.add(names[key])

    for node_id, node in prompt.items():
        for key, name in _marked(node_id, node):
            give(key, name)
    for key, role in roles.items():
        give(key, role)
    slugs = {node_id: slug(_title(node)) for node_id, node in prompt.items()}
    for key in _literals(prompt):
        if key[1] not in taken:
            give(key, key[1])
        else:
            give(key, f"{slugs[key[0]]}_{key[1]}".strip("_"))
    return names


def slug(text: str) -> str:
    """Convert a title to a name, keeping letters: "Load Image (2)" -> "load_image_2"."""
    return re.sub(r"\W+", "_", text[:MAX_LENGTH].lower()).strip("_")


def _free(name: str, taken: set[str], counts: dict[str, int]) -> str:
    """Return the name, with the lowest free number if it is taken.

    Taken names stay taken, so each number is tried once.
    """
    candidate, number = name, counts.get(name, 1)
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    counts[name] = number
    return candidate


def _marked(node_id: str, node: Json) -> list[tuple[InputKey, str]]:
    """Return the literal inputs that a mark on the node names."""
    mark = _mark(node)
    literals = [key for key in _literals({node_id: node}) if key[1] not in ("input_id", "argument")]
    if not mark or not literals:
        return []
    carriers = [key for key in literals if key[1] in _CARRIERS]
    if len(literals) == 1 or carriers:
        return [((carriers or literals)[0], mark)]
    return [(key, f"{mark}.{key[1]}") for key in literals]


def _mark(node: Json) -> str | None:
    title, class_type, inputs = _title(node), node["class_type"], node["inputs"]
    if class_type.startswith("ComfyUIDeployExternal"):
        return slug(str(inputs.get("input_id") or title))
    if class_type.startswith("ServingInput"):
        return slug(str(inputs.get("argument") or title))
    if class_type.startswith("CPackInput"):
        return slug(title)
    if title.lower().startswith("input;"):
        parts = title.split(";")
        ids = [part.partition("=")[2] for part in parts if part.strip().startswith("custom_id=")]
        return slug(ids[0] if ids else parts[1])
    if dollar := _DOLLAR.search(title):
        return dollar.group(1)[:MAX_LENGTH]
    if _VIEWCOMFY.search(title):
        return slug(_VIEWCOMFY.sub(" ", title)) or None
    return None


def title_of(node: Json) -> str | None:
    """Return the title that the author of the workflow gave the node, or None."""
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return title[:MAX_TITLE] if isinstance(title, str) else None


def _title(node: Json) -> str:
    title = title_of(node)
    return str(node["class_type"]) if title is None else title


def _literals(prompt: Mapping[str, Json]) -> list[InputKey]:
    return [
        (node_id, name)
        for node_id, node in prompt.items()
        for name, value in node["inputs"].items()
        if not isinstance(value, list)
    ]
