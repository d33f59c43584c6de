"""Seeds of a prompt, and the limits within which they may be drawn. Pure.

A seed is an input with such a name, or the number of a primitive, an integer node or a switch that
feeds such an input through any chain of links.
"""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.parameters.model import definition_of, options_of
from app.workflows.parameters.roles import InputKey

MAX_SEED = 2**53 - 1  # the largest exact integer of JavaScript; nodes allow up to 2**64 - 1
# Names of inputs that pass on a number unchanged: in primitives, integer nodes, switches.
_CARRIES = re.compile(
    r"(default_)?value\d*|default|int(eger)?|number|float|any(_?\d+)?|input_?\d*"
    r"|(on|if)_(true|false)|(true|false)_value",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"-?\d{1,20}")
_NUMBERS = ("INT", "FLOAT", "NUMBER")


Draw = Callable[[int, int], int]  # (minimum, maximum), both inclusive

draw: Draw = random.randint


def names_seed(name: str) -> bool:
    """Return whether the name is that of a seed: seed, noise_seed, Seed, sampling_mode.seed, ..."""
    last = name.rpartition(".")[2].lower()
    return last == "seed" or last.endswith("_seed")


class Seeds:
    """The seeds of one prompt; links and node types are evaluated once, values may change."""

    def __init__(self, prompt: Mapping[str, Json], object_info: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._feeds: dict[str, list[InputKey]] = {}  # node -> the inputs that its numbers feed
        for node_id, node in prompt.items():
            for name, value in node["inputs"].items():
                source = self._number_from(value) if isinstance(value, list) else None
                if source is not None:
                    self._feeds.setdefault(source, []).append((node_id, name))
        self._feeding = self._nodes_that_feed_seeds()

    def limits(self, key: InputKey, node: Json) -> tuple[int, int] | None:
        """Return the limits for drawing a seed at an input of the given node.

        None if the input is no seed, if it allows -1, or if no value is within all limits.
        """
        found = self._range(key, node)
        return found if found and found[0] >= 0 else None

    def common_limits(self, keys: Iterable[InputKey], nodes: Json) -> tuple[int, int] | None:
        """Return the limits for drawing one seed for all these inputs."""
        found = [one for key in keys if (one := self._range(key, nodes[key[0]])) is not None]
        low, high = max([0, *(one[0] for one in found)]), min((one[1] for one in found), default=-1)
        return (low, high) if low <= high else None

    def to_renew(self, marked: Iterable[Iterable[InputKey]] | None) -> list[list[InputKey]]:
        """Return the inputs that contain a seed, of `marked` or of all; lists share a seed."""
        if marked is None:
            marked = ([key] for key in _keys(self._prompt) if self._is_only_seed(key))
        found = ([key for key in keys if self._holds_seed(key)] for keys in marked)
        return [keys for keys in found if keys]

    def _holds_seed(self, key: InputKey) -> bool:
        node = self._prompt[key[0]]
        value = node["inputs"][key[1]]
        return _is_whole(value) and self._range(key, node) is not None

    def _is_only_seed(self, key: InputKey) -> bool:
        """Return whether the input's number feeds seeds only, and not a width, for example."""
        if key[0] not in self._feeding or names_seed(key[1]):
            return True
        return not any(
            (definition_of(node, name, self._object_info) or [None])[0] in _NUMBERS
            and not (names_seed(name) or _CARRIES.fullmatch(name))
            for node, name in self._fed_by(key[0])
        )

    def _range(self, key: InputKey, node: Json) -> tuple[int, int] | None:
        """Return the limits of an input that is a seed; None if it is none."""
        node_id, name = key
        carries = node_id in self._feeding and self._carries(node, name)
        definition = definition_of(node, name, self._object_info)
        if not names_seed(name) and not carries and not _is_controlled(name, definition):
            return None
        if definition is not None and not _may_be_number(definition[0]):
            return None
        places = [(node, name), *self._fed_by(node_id)] if carries else [(node, name)]
        lows, highs = [], []
        for place, input_name in places:
            options = options_of(definition_of(place, input_name, self._object_info))
            everywhere = options.get("everywhere") or options
            low, high = everywhere.get("min"), everywhere.get("max")
            if low is None and names_seed(input_name):
                low = 0
            lows += [low] if isinstance(low, int | float) else []
            highs += [high] if isinstance(high, int | float) else []
        low, high = int(max(lows, default=0)), int(min(highs, default=MAX_SEED))
        if low <= MAX_SEED:
            high = min(high, MAX_SEED)
        return (low, high) if low <= high else None

    def is_open(self, key: InputKey, node: Json) -> bool:
        """Return whether a -1 in this input of the given node is replaced by a random seed."""
        return self.limits(key, node) is not None

    def open_among(self, keys: Iterable[InputKey], nodes: Mapping[str, Json]) -> list[InputKey]:
        """Return the inputs whose -1 is replaced, of those of these nodes that have one."""
        return [key for key in keys if self.is_open(key, nodes[key[0]])]

    def _number_from(self, value: list[Any]) -> str | None:
        """Return the origin of a link, or None if its type cannot be a number."""
        if not (len(value) == 2 and isinstance(value[0], str)):
            return None
        source, output = value
        if source not in self._prompt or isinstance(output, bool) or not isinstance(output, int):
            return None
        told = self._object_info.get(self._prompt[source]["class_type"], {}).get("output")
        kind = told[output] if isinstance(told, list) and 0 <= output < len(told) else "*"
        return source if _may_be_number(kind) else None

    def _nodes_that_feed_seeds(self) -> set[str]:
        sources: dict[str, list[str]] = {}
        for source, fed in self._feeds.items():
            for node_id, _ in fed:
                sources.setdefault(node_id, []).append(source)
        found: set[str] = set()
        stack = [s for s, fed in self._feeds.items() if any(names_seed(n) for _, n in fed)]
        while stack:
            source = stack.pop()
            if source not in found:
                found.add(source)
                stack += sources.get(source, ())
        return found

    def _carries(self, node: Json, name: str) -> bool:
        """Return whether the node passes on this input's number: by its name, or as its only
        number."""
        if names_seed(name) or _CARRIES.fullmatch(name):
            return True
        values = node["inputs"].values()
        return sum(_is_number(v) for v in values) == 1 and not any(_is_list(v) for v in values)

    def _fed_by(self, node_id: str) -> Iterator[tuple[Json, str]]:
        """Yield all inputs that the node's number reaches, each once."""
        seen, stack = {node_id}, [node_id]
        while stack:
            for fed, name in self._feeds.get(stack.pop(), ()):
                yield self._prompt[fed], name
                if fed in self._feeds and fed not in seen:
                    seen.add(fed)
                    stack.append(fed)


def is_random(value: Any) -> bool:
    """Return whether the value is -1, or "-1", which ComfyUI converts to the number."""
    if isinstance(value, str):
        return value.strip() == "-1"
    return value == -1 and not isinstance(value, bool)


def random_in(nodes: Mapping[str, Json]) -> list[InputKey]:
    """Return the inputs of these nodes that have a -1."""
    return [
        (node_id, name)
        for node_id, node in nodes.items()
        for name, value in node["inputs"].items()
        if is_random(value)
    ]


def left_open(keys: Iterable[InputKey]) -> Iterator[str]:
    """Yield a warning for each seed among these inputs, which are sent as -1."""
    for node_id, name in keys:
        if names_seed(name):
            yield (
                f"{quoted(f'{node_id}.{name}')} is sent as -1: no seed was drawn for it, as the "
                "node itself allows -1, or no number is within the limits of all that it goes to. "
                "The node may draw one, give the same each time, or refuse it."
            )


def _keys(nodes: Mapping[str, Json]) -> Iterator[InputKey]:
    for node_id, node in nodes.items():
        for name in node["inputs"]:
            yield node_id, name


def _may_be_number(kind: Any) -> bool:
    """Return whether a socket of this type in object_info may carry numbers."""
    if not isinstance(kind, str):
        return False
    return (
        kind == "*" or kind.startswith("COMFY_MATCH") or not {*kind.split(",")}.isdisjoint(_NUMBERS)
    )


def _is_controlled(name: str, definition: list[Any] | None) -> bool:
    """Return whether the page can draw the value anew for each run.

    Excludes names of inputs that pass on any number.
    """
    controlled = options_of(definition).get("control_after_generate")
    return bool(controlled) and (definition or [None])[0] == "INT" and not _CARRIES.fullmatch(name)


def _is_whole(value: Any) -> bool:
    """Return whether the value is an integer or the text of one, as form tools send it."""
    if isinstance(value, str):
        return _WHOLE.fullmatch(value) is not None
    return _is_number(value) and value == value // 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
