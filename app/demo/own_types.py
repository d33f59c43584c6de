"""Node types that the stand-in has and no ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Like nodes of other people's that use ComfyUI's ExecutionBlocker.
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
            "is_input_list": False,
            "output": ["IMAGE"],
            "output_is_list": [False],
            "output_name": ["IMAGE"],
            "name": "DemoBlocker",
            "display_name": "Block (demo)",
            "description": "What its output leads to does not run; without a message silently.",
            "python_module": "custom_nodes.demo",
            "category": "demo",
            "output_node": False,
            "search_aliases": [],
        }
    }
)
