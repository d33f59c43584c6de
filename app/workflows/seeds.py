"""Which inputs of a prompt are seeds, and what may be drawn for a -1 in them. Pure.

A seed stands in an input of that name, also in one of a dynamic combo (`sampling_mode.seed`), or
in a node of its own whose value reaches such an input over links.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any

from app.workflows.checks import links_of
from app.workflows.parameters import Parameter, parameter_at
from app.workflows.roles import roles_of

Json = dict[str, Any]
Key = tuple[str, str]  # node id, input
Draw = Callable[[int, int], int]  # (smallest, largest), both inclusive

SEED_INPUTS = ("seed", "noise_seed")
MAX_SEED = 2**53 - 1  # what JavaScript can hold exactly; nodes allow up to 2**64 - 1
MAX_STEPS = 200  # links that are followed from one seed to the inputs that it reaches

draw: Draw = random.randint


def names_seed(name: str) -> bool:
    """True for `seed`, `noise_seed` and those that a dynamic combo brings with it."""
    return name.rpartition(".")[2] in SEED_INPUTS


def is_random(value: Any) -> bool:
    return value == -1 and not isinstance(value, bool)


class Seeds:
    """The seeds of one prompt. What its links say is found once, when a -1 first asks for it."""

    def __init__(self, prompt: Json, object_info: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._object_info = object_info

    @cached_property
    def _behind_links(self) -> frozenset[Key]:
        roles = roles_of(self._prompt)
        return frozenset(k for k, role in roles.items() if role == "seed" and not names_seed(k[1]))

    @cached_property
    def _feeds(self) -> dict[str, list[Key]]:
        found: dict[str, list[Key]] = {}
        for node_id, node in self._prompt.items():
            for name, source in links_of(node["inputs"]):
                found.setdefault(source, []).append((node_id, name))
        return found

    def is_open(self, key: Key, node: Json) -> bool:
        """A -1 is drawn in this input; `node` is its node as it is changed so far."""
        return self.limits(key, node) is not None

    def open_in(self, nodes: Json) -> list[Key]:
        """Those of these nodes that hold a -1 to be drawn."""
        return [
            (node_id, name)
            for node_id, node in nodes.items()
            for name, value in node["inputs"].items()
            if is_random(value) and self.is_open((node_id, name), node)
        ]

    def limits(self, key: Key, node: Json) -> tuple[int, int] | None:
        """What may be drawn, both inclusive, within the limits of the input and of all inputs that
        it reaches. None for what is no seed, or a seed for which -1 has a meaning of its own."""
        if not names_seed(key[1]) and key not in self._behind_links:
            return None
        own = parameter_at(key, node, self._object_info)
        reached = list(self._reached(key[0]))
        if all(each.min is not None and each.min < 0 for each in reached or (own,)):
            return None
        lows, highs = (
            [int(limit) for each in (own, *reached) if (limit := getattr(each, name)) is not None]
            for name in ("min", "max")
        )
        low, high = max(0, *lows, 0), min(MAX_SEED, *highs, MAX_SEED)
        return (low, high) if low <= high else _limits_of(own)

    def _reached(self, node_id: str) -> Iterator[Parameter]:
        """The seeds that a node's output reaches, the nearest first."""
        for consumer, name in islice(self._downstream(node_id), MAX_STEPS):
            if names_seed(name):
                yield parameter_at((consumer, name), self._prompt[consumer], self._object_info)

    def _downstream(self, node_id: str) -> Iterator[Key]:
        """Every input that its output reaches, not beyond a seed; the nearest first."""
        waiting, seen = deque([node_id]), {node_id}
        while waiting:
            for consumer, name in self._feeds.get(waiting.popleft(), ()):
                yield consumer, name
                if consumer not in seen and not names_seed(name):
                    seen.add(consumer)
                    waiting.append(consumer)


def _limits_of(parameter: Parameter) -> tuple[int, int]:
    low = 0 if parameter.min is None else max(0, int(parameter.min))
    return low, MAX_SEED if parameter.max is None else max(low, int(parameter.max))
