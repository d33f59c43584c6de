"""Seeds of a prompt: where they really stand, and within which limits one may be drawn. Pure.

A seed stands in an input that is called so, or in a primitive, an integer node or a switch whose
number goes to such an input over any chain of links.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.quoting import quoted
from app.workflows.parameters import definition_of, options_of

Json = dict[str, Any]
Key = tuple[str, str]  # node id, input

MAX_SEED = 2**53 - 1  # what JavaScript can hold exactly; nodes allow up to 2**64 - 1
# What inputs are called that pass on a number as it is: of primitives, integer nodes, switches.
_CARRIES = re.compile(
    r"(default_)?value\d*|default|int(eger)?|number|float|any(_?\d+)?|input_?\d*"
    r"|(on|if)_(true|false)|(true|false)_value",
    re.IGNORECASE,
)
_NUMBERS = ("INT", "FLOAT", "NUMBER")


Draw = Callable[[int, int], int]  # (smallest, largest), both inclusive

draw: Draw = random.randint


def names_seed(name: str) -> bool:
    """seed, noise_seed, Seed, sampling_mode.seed, ..."""
    last = name.rpartition(".")[2].lower()
    return last == "seed" or last.endswith("_seed")


class Seeds:
    """Those of one prompt. Values may change; links and node types are looked at once."""

    def __init__(self, prompt: Mapping[str, Json], object_info: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._feeds: dict[str, list[Key]] = {}  # node -> the inputs that its numbers go to
        for key in _keys(prompt):
            source = self._number_from(prompt[key[0]]["inputs"][key[1]])
            if source is not None:
                self._feeds.setdefault(source, []).append(key)
        self._feeding = self._nodes_that_feed_seeds()

    def limits(self, key: Key, node: Json) -> tuple[int, int] | None:
        """Within which a seed may be drawn at this input of a node as it is now; None if it is no
        seed, if -1 is among what is allowed there, or if nothing is."""
        node_id, name = key
        carries = node_id in self._feeding and self._carries(node, name)
        if not names_seed(name) and not carries:
            return None
        definition = definition_of(node, name, self._object_info)
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
        return (low, high) if 0 <= low <= high else None

    def is_open(self, key: Key, node: Json) -> bool:
        """A -1 is drawn in this input; `node` is its node as it is changed so far."""
        return self.limits(key, node) is not None

    def open_in(self, nodes: Json) -> list[Key]:
        """Those of these nodes that hold a -1 to be drawn."""
        return [
            key
            for key in _keys(nodes)
            if is_random(nodes[key[0]]["inputs"][key[1]]) and self.is_open(key, nodes[key[0]])
        ]

    def _number_from(self, value: Any) -> str | None:
        """The node that a link comes from, unless what comes is known to be no number."""
        if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
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
        """Whether the node passes on the number of this input: by its name, or it has no other."""
        if names_seed(name) or _CARRIES.fullmatch(name):
            return True
        values = node["inputs"].values()
        return sum(_is_number(v) for v in values) == 1 and not any(_is_list(v) for v in values)

    def _fed_by(self, node_id: str) -> Iterator[tuple[Json, str]]:
        """All inputs that the node's number reaches, each once."""
        seen, stack = {node_id}, [node_id]
        while stack:
            for fed, name in self._feeds.get(stack.pop(), ()):
                yield self._prompt[fed], name
                if fed in self._feeds and fed not in seen:
                    seen.add(fed)
                    stack.append(fed)


def is_random(value: Any) -> bool:
    return value == -1 and not isinstance(value, bool)


def left_open(nodes: Mapping[str, Json]) -> Iterator[str]:
    """What to say of each seed among these nodes that is sent as -1."""
    for node_id, name in _keys(nodes):
        if names_seed(name) and is_random(nodes[node_id]["inputs"][name]):
            yield (
                f"{quoted(f'{node_id}.{name}')} is sent as -1, which the node itself allows: no "
                "seed was drawn for it. The node may draw one, or give the same each time."
            )


def _keys(nodes: Mapping[str, Json]) -> Iterator[Key]:
    for node_id, node in nodes.items():
        for name in node["inputs"]:
            yield node_id, name


def _may_be_number(kind: Any) -> bool:
    """Whether numbers may go through a socket of this type in object_info."""
    if not isinstance(kind, str):
        return False
    return (
        kind == "*" or kind.startswith("COMFY_MATCH") or not {*kind.split(",")}.isdisjoint(_NUMBERS)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
