"""Node types that the stand-in has beside those that every ComfyUI has: like those of other people
that block and expand, and a newer one that is lazy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_DEMO: Mapping[str, Any] = MappingProxyType(
    {
        "is_input_list": False,
        "output": ["IMAGE"],
        "output_is_list": [False],
        "output_name": ["IMAGE"],
        "python_module": "custom_nodes.demo",
        "category": "demo",
        "search_aliases": [],
    }
)
_BRANCH: Mapping[str, Any] = MappingProxyType(
    {"lazy": True, "template": {"template_id": "switch", "allowed_types": "*"}}
)

OWN_TYPES: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "DemoBlocker": {
            "input": {
                "required": {
                    "image": ["IMAGE"],
                    "block": ["BOOLEAN", {"default": True}],
                    "message": ["STRING", {"default": ""}],
                }
            },
            "input_order": {"required": ["image", "block", "message"]},
            "name": "DemoBlocker",
            "display_name": "Block (demo)",
            "description": "What its output leads to does not run; without a message silently.",
            "output_node": False,
            **_DEMO,
        },
        "DemoExpand": {
            "input": {
                "required": {
                    "image": ["IMAGE"],
                    "count": ["INT", {"default": 3, "min": 1, "max": 100}],
                    "save": ["BOOLEAN", {"default": True}],
                    "filename_prefix": ["STRING", {"default": "ComfyUI"}],
                }
            },
            "input_order": {"required": ["image", "count", "save", "filename_prefix"]},
            "name": "DemoExpand",
            "display_name": "Loop (demo)",
            "description": "Expands into nodes that invert the picture and save it, so many times.",
            "output_node": True,
            **_DEMO,
        },
        "ComfySwitchNode": {
            "input": {
                "required": {
                    "switch": ["BOOLEAN", {}],
                    "on_false": ["COMFY_MATCHTYPE_V3", dict(_BRANCH)],
                    "on_true": ["COMFY_MATCHTYPE_V3", dict(_BRANCH)],
                }
            },
            "input_order": {"required": ["switch", "on_false", "on_true"]},
            "is_input_list": False,
            "output": ["COMFY_MATCHTYPE_V3"],
            "output_is_list": [False],
            "output_name": ["output"],
            "output_tooltips": [None],
            "output_matchtypes": ["switch"],
            "name": "ComfySwitchNode",
            "display_name": "If/Else Switch",
            "description": "",
            "python_module": "comfy_extras.nodes_logic",
            "category": "utilities/logic",
            "output_node": False,
            "deprecated": False,
            "experimental": True,
            "dev_only": False,
            "api_node": False,
            "price_badge": None,
            "search_aliases": ["switch"],
            "essentials_category": None,
            "has_intermediate_output": False,
        },
    }
)
