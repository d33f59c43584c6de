"""The node types the demo knows: its object_info, and what it needs to run them."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from app.comfyui.inputs import NodeTypes
from fake_comfyui.folders import kind_of
from fake_comfyui.models import CHOICES, FOLDERS
from fake_comfyui.own_types import OWN_TYPES

BUILT_IN = Path(__file__).parents[1] / "app/servers/core_node_types.json"

# Their `image` is checked against the disk, not against the list of choices.
IMAGE_LOADERS = frozenset({"LoadImage", "LoadImageMask", "LoadImageOutput"})
MATCHED = "COMFY_MATCHTYPE_V3"  # what comes out is of the kind that went in


@dataclass(frozen=True)
class NodeSpec:
    """One node type."""

    name: str
    info: dict[str, Any]

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple("COMBO" if isinstance(o, list) else str(o) for o in self.info["output"])

    @cached_property
    def is_output(self) -> bool:
        return bool(self.info.get("output_node"))

    @cached_property
    def lazy(self) -> frozenset[str]:
        """Inputs that the node itself asks for, if it wants them at all."""
        return frozenset(
            name
            for name, raw in self._inputs()
            if len(raw) > 1 and isinstance(raw[1], dict) and raw[1].get("lazy")
        )

    @cached_property
    def matched(self) -> tuple[str, ...]:
        """Inputs that take several kinds, of which the output is one."""
        return tuple(name for name, raw in self._inputs() if raw[0] == MATCHED)

    def _inputs(self) -> Iterator[tuple[str, list[Any]]]:
        for group in ("required", "optional"):
            yield from ((self.info.get("input") or {}).get(group) or {}).items()

    @cached_property
    def wants_its_id(self) -> bool:
        """Such a node's result is cached for its own id only."""
        hidden = (self.info.get("input") or {}).get("hidden") or {}
        return any("UNIQUE_ID" in str(kind) for kind in hidden.values())


class Catalogue:
    """Object_info with the input folder's files as the choices of what loads them."""

    def __init__(self, file: Path | None, uploads: Callable[[], list[str]]) -> None:
        self._info = _read(file) if file else {**_with_models(_read(BUILT_IN)), **OWN_TYPES}
        self.types = NodeTypes(self._info)
        self._uploads = uploads
        self._specs = {name: NodeSpec(name, info) for name, info in self._info.items()}
        self._encoded: tuple[list[str], bytes] = ([], b"")
        self.models: Mapping[str, tuple[str, ...]] = FOLDERS

    def __getitem__(self, class_type: str) -> NodeSpec:
        return self._specs[class_type]

    def get(self, class_type: Any) -> NodeSpec | None:
        return self._specs.get(class_type)

    def describe(self, class_type: str) -> dict[str, Any] | None:
        """One class as GET /object_info shows it."""
        info = self._info.get(class_type)
        return None if info is None else _with_choices(info, self._uploads())

    def encoded(self) -> bytes:
        """The whole object_info as JSON, kept until the input folder changes."""
        uploads = self._uploads()
        if self._encoded[0] != uploads or not self._encoded[1]:
            everything = {name: self.describe(name) for name in self._info}
            self._encoded = (uploads, json.dumps(everything).encode())
        return self._encoded[1]


def _read(file: Path) -> dict[str, dict[str, Any]]:
    content = file.read_bytes()
    if file.suffix == ".gz":
        content = gzip.decompress(content)
    info: dict[str, dict[str, Any]] = json.loads(content)
    return info


def _with_models(info: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    for (class_type, name), folder in CHOICES.items():
        raw = info[class_type]["input"]["required"][name]
        if isinstance(raw[0], list):
            raw[0] = list(FOLDERS[folder])
        else:
            raw[1]["options"] = list(FOLDERS[folder])
    return info


# Inputs with one of these options offer the files of these kinds.
_UPLOADS: Mapping[str, tuple[str, ...]] = {
    "image_upload": ("image",),
    "audio_upload": ("audio", "video"),
    "video_upload": ("video",),
}


def _with_choices(info: dict[str, Any], uploads: list[str]) -> dict[str, Any]:
    """With `uploads` as the choices of the inputs that load one."""
    changed = info
    for group, inputs in info.get("input", {}).items():
        for name, raw in inputs.items():
            options = raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else {}
            kinds = next((_UPLOADS[word] for word in _UPLOADS if options.get(word)), None)
            if kinds is None or not (isinstance(raw[0], list) or "options" in options):
                continue
            if changed is info:
                changed = copy.deepcopy(info)
            # ComfyUI forgot to choose for this one.
            every = info.get("name") == "LoadImageMask"
            files = [file for file in uploads if every or kind_of(file) in kinds]
            entry = changed["input"][group][name]
            if isinstance(raw[0], list):
                entry[0] = files
            else:
                entry[1]["options"] = files
    return changed
