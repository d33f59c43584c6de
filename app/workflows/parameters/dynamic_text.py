"""Fills in texts of a prompt like ComfyUI's page does with typed texts. Pure.

`{red|green}` is replaced by one of the options if the input is declared as dynamic;
`%date:yyyy-MM-dd%` and `%Node.widget%` apply to file names of output nodes. Other notations, such
as wildcards (`__animal__`), are left to the server.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from app.errors import InvalidParameter, InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted, quoted_list
from app.workflows.conversion.dynamic_prompts import choose_texts
from app.workflows.conversion.effort import Effort
from app.workflows.conversion.replacements import SAVING, UNKNOWN, filled
from app.workflows.parameters.model import definition_of, options_of
from app.workflows.parameters.names import title_of
from app.workflows.parameters.roles import InputKey

MAX_EFFORT = 6_000_000  # steps for all tasks of a request
TOLD = 5  # inputs that a warning lists
_MARKS = ("{", "//", "/*", "\\", "%")


class DynamicTexts:
    """The dynamic texts of one prompt.

    `own`: fill in the prompt's own texts, too, not only the given ones. `in_file`: texts of the
    UI-format file that replace those of the prompt; `named`: the nodes that they refer to. `given`:
    whether given values are filled in.
    """

    def __init__(
        self,
        prompt: Json,
        object_info: Mapping[str, Json],
        *,
        own: bool = False,
        given: bool = True,
        in_file: Mapping[InputKey, str] | None = None,
        named: Mapping[str, str] | None = None,
        choose: Callable[[Sequence[str]], str] = random.choice,
    ) -> None:
        self._prompt = prompt
        self._object_info = object_info
        self._choose = choose
        self._effort = Effort(MAX_EFFORT)
        self._fills_given = given
        self._in_file = in_file or {}
        self._names = named or {}
        self.own: list[InputKey] = list(self._in_file)
        for node_id, node in prompt.items() if own else ():
            self.own += [
                (node_id, name) for name, value in node["inputs"].items() if _marked(value)
            ]

    @cached_property
    def templates(self) -> set[InputKey]:
        """The inputs whose text in the UI-format file stays a template.

        ComfyUI's page does so with file names; prompts contain the chosen options of other texts.
        """
        return {
            key
            for key, text in self._in_file.items()
            if not self._is_dynamic(key, {}) and self._filled(key, text, {}) == self._at(key, {})
        }

    def filled(self, key: InputKey, nodes: Mapping[str, Json], *, given: bool) -> Any:
        """Return the value of an input, filled in. Raises InvalidParameter.

        `nodes`: changed nodes; `given`: the value was set by the client.
        """
        value = self._at(key, nodes)
        if given and not self._fills_given:
            return value
        try:
            text = value if given else self._text_in_file(key, value)
            return self._filled(key, text, nodes) if _marked(text) else value
        except InvalidWorkflow as error:
            word = ".".join(key)
            raise InvalidParameter(
                f"Parameter {quoted(word)} cannot be filled in: the texts stand for too much.",
                hint='Send fewer tasks at a time, or "fill_texts": false: texts go as they are.',
                parameter=word,
            ) from error

    def is_told(self, key: InputKey, *, changed: bool) -> bool:
        """Return whether the result for a text of the prompt itself is one of the task's values."""
        return key not in self.templates and (changed or key in self._in_file)

    def _text_in_file(self, key: InputKey, value: Any) -> Any:
        is_followed = key in self.templates or self._is_dynamic(key, {})
        return self._in_file.get(key, value) if is_followed else value

    def _filled(self, key: InputKey, text: str, nodes: Mapping[str, Json]) -> str:
        if self._is_dynamic(key, nodes):
            return choose_texts(text, self._choose, self._effort)
        if key[1] == "filename_prefix" and self._node(key, nodes)["class_type"] in SAVING:
            self._effort.read(text)
            return filled(text, lambda of, which: self._value(of, which, nodes))
        return text

    def _node(self, key: InputKey, nodes: Mapping[str, Json]) -> Json:
        node: Json = nodes.get(key[0]) or self._prompt[key[0]]
        return node

    def _at(self, key: InputKey, nodes: Mapping[str, Json]) -> Any:
        return self._node(key, nodes)["inputs"].get(key[1])

    def _is_dynamic(self, key: InputKey, nodes: Mapping[str, Json]) -> bool:
        definition = definition_of(self._node(key, nodes), key[1], self._object_info)
        return bool(options_of(definition).get("dynamicPrompts"))

    def _value(self, name: str, input_name: str, nodes: Mapping[str, Json]) -> Any:
        node_id = self._names.get(name) or self._named.get(name)
        if node_id is None:
            return UNKNOWN
        value = (nodes.get(node_id) or self._prompt[node_id])["inputs"].get(input_name, UNKNOWN)
        if isinstance(value, list | dict):  # a link, whose value is not known yet
            return UNKNOWN
        if isinstance(value, str):
            self._effort.read(value)
        return value

    @cached_property
    def _named(self) -> dict[str, str]:
        """Ids of nodes by class and by title, the first of each."""
        nodes = list(reversed(self._prompt.items()))
        titles = {title: node_id for node_id, node in nodes if (title := title_of(node))}
        return titles | {node["class_type"]: node_id for node_id, node in nodes}


def _marked(value: Any) -> bool:
    return isinstance(value, str) and any(mark in value for mark in _MARKS)


def left_unfilled(prompt: Json) -> list[str]:
    """Return a warning for `%date:...%` in a prompt sent as is: the server does not fill it in."""
    found = [
        f"{node_id}.filename_prefix"
        for node_id, node in prompt.items()
        if node["class_type"] in SAVING
        and "%date:" in str(node["inputs"].get("filename_prefix", ""))
    ]
    if not found:
        return []
    return [
        f"%date:...% in {quoted_list(found, TOLD)} is sent as it is: only ComfyUI's page fills it "
        'in. With "fill_texts": true the gateway does.'
    ]
