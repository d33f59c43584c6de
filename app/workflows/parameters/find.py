"""Finds the input of a prompt for a key, "<node_id>.<input>", or a name. Pure.

Node ids and input names may contain dots. A key stands for the node with the longest matching id
that has such an input.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from app.errors import InvalidParameter
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.checks.prompt import MAX_NAME, links_of
from app.workflows.parameters.model import definition_of
from app.workflows.parameters.names import names_of
from app.workflows.parameters.roles import InputKey, roles_of
from app.workflows.parameters.suggestions import Guesses


def readings(given: str, prompt: Mapping[str, Json]) -> Iterator[InputKey]:
    """Yield (node id, input) for each way to split a key, the longest node id first."""
    end = given.rfind(".", 0, MAX_NAME + 1)
    while end >= 0:
        if given[:end] in prompt:
            yield given[:end], given[end + 1 :]
        end = given.rfind(".", 0, end)


class Finder:
    """Finds inputs by key or name."""

    def __init__(self, prompt: Json, object_info: Mapping[str, Json]) -> None:
        self._prompt = prompt
        self._object_info = object_info

    @cached_property
    def _names(self) -> dict[str, InputKey]:
        return {name: key for key, name in names_of(self._prompt, roles_of(self._prompt)).items()}

    def locate(
        self, given: str, guesses: Guesses | None = None, changed: Mapping[str, Json] | None = None
    ) -> InputKey:
        """Return the input; `changed` are modified nodes.

        Raises InvalidParameter, with the nearest key or name while `guesses` are left.
        """
        keys = list(readings(given, self._prompt))
        is_key = any(name in self._prompt[node_id]["inputs"] for node_id, name in keys)
        if not is_key and given in self._names:  # no name equals a key
            return self._names[given]
        could, links = None, None
        for key in keys:
            node = (changed or {}).get(key[0]) or self._prompt[key[0]]
            if source := dict(links_of(node["inputs"])).get(key[1]):
                links = links or source
            elif key[1] in node["inputs"]:
                return key
            elif definition_of(node, key[1], self._object_info):
                could = could or key
        if could:
            return could
        if links:
            raise InvalidParameter(
                f"Parameter {quoted(given)} is fed by node {quoted(links)}; set the value there.",
                parameter=given,
            )
        near = guesses.near(given, self._known(), cutoff=0.4) if guesses else []
        remedy = f" Did you mean {quoted(near[0])}?" if near else ""
        raise InvalidParameter(
            f"There is no parameter {quoted(given)}.{remedy}",
            hint='Use a name such as "prompt", or "<node_id>.<input>", such as "6.text".',
            parameter=given,
        )

    def _known(self) -> Iterator[str]:
        """Yield all names with their keys, in the order of importance."""
        for name, (node_id, input_name) in self._names.items():
            yield name
            yield f"{node_id}.{input_name}"
