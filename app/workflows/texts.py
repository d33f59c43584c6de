"""Texts of a prompt, filled in as ComfyUI's page does it with those that are typed into it. Pure.

`{red|green}` becomes one of the two where an input is declared so; `%date:yyyy-MM-dd%` and
`%Node.widget%` are for the file names of nodes that save. What is left, such as wildcards
(`__animal__`), is the server's.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from app.errors import InvalidParameter, InvalidWorkflow
from app.quoting import quoted
from app.workflows.conversion.dynamic_prompts import choose_texts
from app.workflows.conversion.effort import Effort
from app.workflows.conversion.replacements import SAVING, UNKNOWN, filled
from app.workflows.finding import Key
from app.workflows.names import title_of
from app.workflows.parameters import definition_of, options_of

Json = dict[str, Any]

MAX_EFFORT = 6_000_000  # steps for all tasks of a request
_MARKS = ("{", "//", "/*", "\\", "%")


class Texts:
    """Those of one prompt; `own`: that it has itself are to be filled in, too, and not only what is
    set in it."""

    def __init__(
        self,
        prompt: Json,
        object_info: Mapping[str, Json],
        *,
        own: bool = False,
        choose: Callable[[Sequence[str]], str] = random.choice,
    ) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._choose = choose
        self._effort = Effort(MAX_EFFORT)
        self.own: list[Key] = []
        for node_id, node in prompt.items() if own else ():
            self.own += [
                (node_id, name) for name, value in node["inputs"].items() if _marked(value)
            ]

    def filled(self, key: Key, nodes: Mapping[str, Json]) -> Any:
        """The value at an input with what it stands for filled in; `nodes`: those that are other
        ones by now. Raises InvalidParameter."""
        node_id, name = key
        node = nodes.get(node_id) or self._prompt[node_id]
        value = node["inputs"].get(name)
        if not _marked(value):
            return value
        try:
            if options_of(definition_of(node, name, self._object_info)).get("dynamicPrompts"):
                return choose_texts(value, self._choose, self._effort)
            if name == "filename_prefix" and node["class_type"] in SAVING:
                self._effort.read(value)
                return filled(value, lambda of, which: self._value(of, which, nodes))
        except InvalidWorkflow as error:
            word = ".".join(key)
            raise InvalidParameter(
                f"Parameter {quoted(word)} cannot be filled in: the texts stand for too much.",
                hint='Send fewer tasks at a time, or "fill_texts": false: texts go as they are.',
                parameter=word,
            ) from error
        return value

    def _value(self, name: str, input_name: str, nodes: Mapping[str, Json]) -> Any:
        node_id = self._named.get(name)
        if node_id is None:
            return UNKNOWN
        value = (nodes.get(node_id) or self._prompt[node_id])["inputs"].get(input_name, UNKNOWN)
        if isinstance(value, list | dict):  # a link: what comes over it is not known yet
            return UNKNOWN
        if isinstance(value, str):
            self._effort.read(value)
        return value

    @cached_property
    def _named(self) -> dict[str, str]:
        """Ids of nodes by their class and by their title, the first of each."""
        nodes = list(reversed(self._prompt.items()))
        titles = {title: node_id for node_id, node in nodes if (title := title_of(node))}
        return titles | {node["class_type"]: node_id for node_id, node in nodes}


def _marked(value: Any) -> bool:
    return isinstance(value, str) and any(mark in value for mark in _MARKS)
