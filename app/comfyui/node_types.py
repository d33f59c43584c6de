"""What a server says of its node types, as far as it can be used: strangers write it. Pure."""

from typing import Any

Json = dict[str, Any]


def sound(object_info: Json) -> dict[str, Json]:
    """The same with inputs in sections, and without node types that are none."""
    return {
        name: {**node, "input": _sections(node.get("input"))}
        for name, node in object_info.items()
        if isinstance(node, dict)
    }


def _sections(inputs: Any) -> Json:
    if not isinstance(inputs, dict):
        return {}
    return {name: section for name, section in inputs.items() if isinstance(section, dict)}
