"""Set parameters in a UI-format file, so that ComfyUI's page still opens it. Pure.

Only widget values change. Where a value stands in the file is found by trying: a place that holds
the present value is changed, the file is converted, and the change is kept if exactly the wanted
input has become another one (or all inputs that the one widget feeds). So whatever the conversion
understands can be set, promoted widgets of subgraphs and group nodes included, and nothing is set
by mistake.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app.errors import InvalidParameter
from app.quoting import quoted
from app.workflows.applying import apply_params
from app.workflows.conversion import convert

Json = dict[str, Any]
Place = tuple[Any, Any]  # a list or an object in the file, and the index or key in it

MAX_TRIALS = 300  # of a value that stands in very many places, such as 0


def set_params(workflow: Json, params: Mapping[str, Any], object_info: Mapping[str, Json]) -> Json:
    """A copy of the file with the parameters set. Raises InvalidParameter and InvalidWorkflow.

    A seed of -1 is saved as a random one: the page has no such value.
    """
    changed = copy.deepcopy(workflow)
    before = _prompt(changed, object_info)
    wanted, _ = apply_params(before, params, object_info)
    for node_id, node in wanted.items():
        for name, value in node["inputs"].items():
            if value != before[node_id]["inputs"].get(name):
                _set(changed, (node_id, name), value, object_info)
    return changed


def _set(
    workflow: Json, target: tuple[str, str], value: Any, object_info: Mapping[str, Json]
) -> None:
    node_id, name = target
    before = _prompt(workflow, object_info)
    present = before[node_id]["inputs"].get(name)
    shared: list[Place] = []
    for holder, index in islice(_places(workflow, present), MAX_TRIALS):
        holder[index] = value
        changes = _changes(before, _prompt(workflow, object_info))
        if changes is not None and changes.keys() == {target}:
            return
        if changes and target in changes and set(map(repr, changes.values())) == {repr(value)}:
            shared.append((holder, index))
        holder[index] = present
    if len(shared) == 1:  # one widget that feeds several inputs: in the page they change together
        holder, index = shared[0]
        holder[index] = value
        return
    key = f"{node_id}.{name}"
    raise InvalidParameter(
        f"Parameter {quoted(key)} cannot be set in this file: no widget holds its value.",
        hint="Give it with each run, or change it in ComfyUI and save the file there.",
        parameter=key,
    )


def _prompt(workflow: Json, object_info: Mapping[str, Json]) -> Json:
    return convert(workflow, object_info, choose=_first).prompt


def _first(options: Sequence[str]) -> str:
    """Of a dynamic prompt's options always the same, so that trials can be compared."""
    return options[0]


def _places(workflow: Json, present: Any) -> Iterator[Place]:
    """Where widgets hold this value, in the whole file: nodes, subgraphs, group nodes."""
    stack: list[Any] = [workflow]
    while stack:
        item = stack.pop()
        children = item.items() if isinstance(item, dict) else enumerate(item)
        for key, child in children:
            if key == "widgets_values" and isinstance(child, list | dict):
                yield from _held(child, present)
            elif isinstance(child, list | dict):
                stack.append(child)


def _held(values: Any, present: Any) -> Iterator[Place]:
    entries = list(values.items()) if isinstance(values, dict) else list(enumerate(values))
    for key, value in entries:
        if value == present and isinstance(value, bool) == isinstance(present, bool):
            yield values, key


def _changes(before: Json, after: Json) -> dict[tuple[str, str], Any] | None:
    """The inputs that differ now, with their new values; None if there are other nodes now."""
    if before.keys() != after.keys():
        return None
    return {
        (node_id, name): after[node_id]["inputs"].get(name)
        for node_id in before
        for name in before[node_id]["inputs"].keys() | after[node_id]["inputs"].keys()
        if before[node_id]["inputs"].get(name) != after[node_id]["inputs"].get(name)
    }
