"""The inputs of a node according to object_info, expanded like ComfyUI does. Pure.

Some inputs depend on the node's values: the choice of a dynamic combo determines further inputs,
named `combo.input`; an autogrow input stands for `group.name0`, `group.name1` and so on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.limits.json_types import Json

DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MOST_NAMES = 100  # of an autogrow input, as in ComfyUI
DEEPEST = 8  # nesting depth of dynamic combos
_GROUPS = ("required", "optional")
_NONE: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a node.

    `kind`: the name of its type, or the list of its choices in the old notation. `options`: the
    other declarations. `nested`: the input depends on the value of another one.
    """

    name: str
    kind: Any
    options: Mapping[str, Any]
    required: bool
    nested: bool = False

    @property
    def config(self) -> list[Any]:
        """The declaration, as ComfyUI's errors repeat it."""
        return [self.kind, dict(self.options)]

    @property
    def choices(self) -> list[Any] | None:
        """The choices of a combo; None for other types."""
        if isinstance(self.kind, list):
            return self.kind
        if self.kind != "COMBO":
            return None
        found = self.options.get("options", [])
        return found if isinstance(found, list) else []


class NodeTypes:
    """Node classes as needed for validation; `object_info` is by class name.

    The inputs of each class are parsed once.
    """

    def __init__(self, object_info: Mapping[str, Json]) -> None:
        self.object_info = object_info
        self._fixed: dict[str, tuple[Input, ...] | None] = {}

    def __contains__(self, class_type: str) -> bool:
        return class_type in self.object_info

    def definition(self, class_type: str) -> Json:
        """Return the class's entry. Raises KeyError."""
        return self.object_info[class_type]

    def is_output(self, class_type: str) -> bool:
        """Return whether the class is an output node. Raises KeyError."""
        return bool(self.object_info[class_type].get("output_node"))

    def outputs(self, class_type: str) -> tuple[Any, ...]:
        """Return the types of the class's outputs. Raises KeyError."""
        found = self.object_info[class_type].get("output")
        return tuple(found) if isinstance(found, list | tuple) else ()

    def inputs(self, class_type: str, values: Mapping[str, Any]) -> tuple[Input, ...]:
        """Return the inputs of a node with these values. Raises KeyError.

        They are all required inputs, and the optional ones that the node may have.
        """
        if class_type not in self._fixed:
            declared = self.object_info[class_type].get("input")
            declared = declared if isinstance(declared, dict) else {}
            dynamic = any(_is_dynamic(raw) for _, _, raw in _entries(declared))
            self._fixed[class_type] = None if dynamic else tuple(_expanded(declared, {}))
        fixed = self._fixed[class_type]
        if fixed is None:
            return tuple(_expanded(self.object_info[class_type]["input"], values))
        return fixed


def _entries(declared: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield (group, name, [type, options]) of the declared inputs, without malformed ones."""
    for group in _GROUPS:
        inputs = declared.get(group)
        for name, raw in inputs.items() if isinstance(inputs, dict) else ():
            if isinstance(raw, list | tuple) and raw and isinstance(raw[0], str | list):
                yield group, name, list(raw)


def _is_dynamic(raw: list[Any]) -> bool:
    return isinstance(raw[0], str) and raw[0].startswith(("COMFY_DYNAMIC", "COMFY_AUTOGROW"))


def _expanded(
    declared: Mapping[str, Any], values: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[Input]:
    for group, name, raw in _entries(declared):
        options = raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else _NONE
        found = Input(prefix + name, raw[0], options, group == "required", bool(prefix))
        if not _is_dynamic(raw):
            yield found
        elif raw[0] == DYNAMIC_COMBO and depth < DEEPEST:
            chosen = _chosen(options, found.name, values)
            if chosen is not None:  # without a valid choice ComfyUI ignores it
                yield from _expanded(chosen, values, f"{found.name}.", depth + 1)
                yield found
        elif raw[0] == AUTOGROW:
            yield from _grown(options.get("template"), f"{found.name}.", values)


def _chosen(
    options: Mapping[str, Any], name: str, values: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """Return the inputs that the choice of a dynamic combo declares; None without a choice."""
    offered = options.get("options")
    if name not in values or not isinstance(offered, list):
        return None
    for option in offered:
        if isinstance(option, dict) and option.get("key") == values[name]:
            inputs = option.get("inputs")
            return inputs if isinstance(inputs, dict) else _NONE
    return None


def _grown(template: Any, prefix: str, values: Mapping[str, Any]) -> Iterator[Input]:
    if not isinstance(template, dict) or not isinstance(template.get("input"), dict):
        return
    entry = next(_entries(template["input"]), None)
    if entry is None:
        return
    group, _, raw = entry
    least = template.get("min", 0)
    options = raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else _NONE
    for place, name in enumerate(_names(template)):
        required = group == "required" and isinstance(least, int) and place < least
        if required or prefix + name in values:
            yield Input(prefix + name, raw[0], options, required, nested=True)


def _names(template: Json) -> list[str]:
    names = template.get("names")
    if isinstance(names, list):
        return [str(name) for name in names[:MOST_NAMES]]
    most = template.get("max")
    most = min(most, MOST_NAMES) if isinstance(most, int) else 0
    return [f"{template.get('prefix', '')}{number}" for number in range(most)]
