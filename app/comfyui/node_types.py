"""Sanitizing of object_info, whose entries are written by authors of custom nodes. Pure."""

from typing import Any

from app.limits.json_types import Json


def sound(object_info: Json) -> dict[str, Json]:
    """Return the node types with well-formed inputs and input orders, without malformed entries."""
    return {
        name: {
            **node,
            "input": _sections(node.get("input")),
            "input_order": _orders(node.get("input_order")),
        }
        for name, node in object_info.items()
        if isinstance(node, dict)
    }


def _sections(inputs: Any) -> Json:
    if not isinstance(inputs, dict):
        return {}
    return {name: section for name, section in inputs.items() if isinstance(section, dict)}


def _orders(order: Any) -> dict[str, list[str]]:
    if not isinstance(order, dict):
        return {}
    return {
        section: [name for name in names if isinstance(name, str)]
        for section, names in order.items()
        if isinstance(names, list)
    }
