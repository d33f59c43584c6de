"""Refusal of prompts that ComfyUI cannot handle, before they are queued. Pure.

The structural rules apply without knowledge of a server. They are stricter than ComfyUI's own where
it accepts a prompt and then never runs anything again: a link to a missing node, in an input that
the class does not declare, ends its worker thread (measured on 0.3.64 and 0.33.0), as does a node
without inputs; a cycle through such an input is recorded as a success. Nodes that no output needs
are different: ComfyUI runs such prompts, so they are sent unchanged with a warning. The same holds
for an output that ComfyUI skips because a declared input is linked to a missing node, if another
output can run.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, Final

from app.comfyui.cleaning import is_sound
from app.errors import InvalidWorkflow
from app.limits import text_lengths
from app.limits.json_types import Json
from app.limits.quoting import quoted

Errors = dict[str, list[Json]]
Links = Mapping[str, Sequence[tuple[str, str]]]  # of each node: see `links_of`

_NONE: Final[Mapping[str, Json]] = MappingProxyType({})

_NUMBER = (int, float)  # a union would be made anew for each look

MAX_NODES = 10_000  # ComfyUI fails much earlier: a path of 1,000 nodes is too long
MAX_NAME = text_lengths.NODE_ID  # characters of a node id, a class and an input name
MAX_IDS = 500_000  # total characters of the node ids: each answer about a task repeats them
MAX_INPUTS = 1000  # per node; real ones have a few dozen
MAX_FAULTS = 20  # maximum reported nodes with errors, and errors per node


def check_structure(prompt: Json, object_info: Mapping[str, Json] = _NONE) -> list[str]:
    """Raise InvalidWorkflow, with node_errors, unless the graph is well-formed.

    Returns warnings about links that lead nowhere or form a cycle at nodes that no output needs.
    `object_info` determines the output nodes; a node of an unknown class may be one.
    """
    if len(prompt) > MAX_NODES:
        raise InvalidWorkflow(f"The workflow has {len(prompt)} nodes; {MAX_NODES} are allowed.")
    if sum(map(len, prompt)) > MAX_IDS:
        raise InvalidWorkflow(f"The node ids have more than {MAX_IDS} characters altogether.")
    links, outputs = _links(prompt), _outputs(prompt, object_info)
    needed = _needed(prompt, outputs, links)
    needed = _needed_by_the_good(prompt, needed, outputs, links, object_info)
    errors, count = _faults_in(prompt, needed, links)
    if not errors:
        stuck = _in_a_cycle(links, needed)
        message = "The node waits for its own result: the links form a cycle."
        count = len(stuck)
        errors = {node_id: [fault("dependency_cycle", message)] for node_id in stuck[:MAX_FAULTS]}
    if errors:
        raise _invalid(prompt, errors, count)
    return _unused_faults(prompt, needed, links) if len(needed) < len(prompt) else []


def needed_by_outputs(prompt: Json, object_info: Mapping[str, Json]) -> Collection[str]:
    """Return the nodes that outputs depend on, in the prompt's order; all if there is no output.

    A malformed node counts as an output.
    """
    return _needed(prompt, _outputs(prompt, object_info), _links(prompt))


def _needed(prompt: Json, outputs: Iterable[str], links: Links) -> Collection[str]:
    found = _upstream(outputs, links)
    return {node_id: None for node_id in prompt if node_id in found or not found}


def _links(prompt: Json) -> Links:
    return {node_id: list(links_of(_inputs(node))) for node_id, node in prompt.items()}


def _outputs(prompt: Json, object_info: Mapping[str, Json]) -> list[str]:
    return [node_id for node_id, node in prompt.items() if _may_be_output(node, object_info)]


def _upstream(node_ids: Iterable[str], links: Links) -> set[str]:
    """Return these nodes and all that they depend on."""
    stack = list(node_ids)
    found = set(stack)
    while stack:
        for _, target in links[stack.pop()]:
            if target in links and target not in found:
                found.add(target)
                stack.append(target)
    return found


def _needed_by_the_good(
    prompt: Json,
    needed: Collection[str],
    outputs: Iterable[str],
    links: Links,
    object_info: Mapping[str, Json],
) -> Collection[str]:
    """Return the needed nodes of outputs that ComfyUI does not skip; all if there is none.

    ComfyUI skips outputs that depend on a link to a missing node.
    """
    lost = {
        node_id
        for node_id in needed
        if (absent := [name for name, target in links[node_id] if target not in links])
        and not _known_inputs(prompt[node_id], object_info).isdisjoint(absent)
    }
    if not lost:
        return needed
    feeds: dict[str, list[str]] = {}
    for node_id in needed:
        for _, target in links[node_id]:
            feeds.setdefault(target, []).append(node_id)
    stack, bad = list(lost), set(lost)
    while stack:
        for node_id in feeds.get(stack.pop(), ()):
            if node_id not in bad:
                bad.add(node_id)
                stack.append(node_id)
    good = [node_id for node_id in outputs if node_id not in bad]
    found = _upstream(good, links)
    return {node_id: None for node_id in needed if node_id in found or not good}


def _known_inputs(node: Any, object_info: Mapping[str, Json]) -> set[str]:
    """Return the inputs that the node's class declares."""
    class_type = _class_type(node)
    definition = object_info.get(class_type) if isinstance(class_type, str) else None
    sections = ((definition or {}).get("input") or {}).values()
    return {name for section in sections if isinstance(section, dict) for name in section}


def _may_be_output(node: Any, object_info: Mapping[str, Json]) -> bool:
    class_type = _class_type(node)
    definition = object_info.get(class_type) if isinstance(class_type, str) else None
    return definition is None or bool(definition.get("output_node"))


def _faults_in(prompt: Json, needed: Collection[str], links: Links) -> tuple[Errors, int]:
    """Return the errors of the first nodes, and the number of all nodes with errors."""
    errors: Errors = {}
    count = 0
    for node_id, node in prompt.items():
        most = MAX_FAULTS if count < MAX_FAULTS else 1
        lost = _lost_links(links[node_id], prompt) if node_id in needed else ()
        faults = _node_faults(node_id, node, lost)
        if found := list(islice(faults, most)):
            count += 1
            if count <= MAX_FAULTS:
                errors[node_id] = found
    return errors, count


def _unused_faults(prompt: Json, needed: Collection[str], links: Links) -> list[str]:
    unused = {node_id: None for node_id in prompt if node_id not in needed}
    lost = (
        (node_id, error["message"])
        for node_id in unused
        for error in _lost_links(links[node_id], prompt)
    )
    circular = ((node_id, "The links form a cycle.") for node_id in _in_a_cycle(links, unused))
    found = [
        f"Node {quoted(node_id)}: {message} ComfyUI does not run it: no output that runs needs it."
        for node_id, message in islice(chain(lost, circular), MAX_FAULTS + 1)
    ]
    return found if len(found) <= MAX_FAULTS else [*found[:MAX_FAULTS], "... and more of them."]


def check_outputs(prompt: Json, object_info: Mapping[str, Json]) -> None:
    """Raise InvalidWorkflow for a graph without an output, if all its node types are known.

    `object_info` is ComfyUI's: class name -> definition.
    """
    definitions = [object_info.get(node["class_type"]) for node in prompt.values()]
    if all(d is not None and not d.get("output_node") for d in definitions):
        raise InvalidWorkflow(
            "The workflow has no output node, so ComfyUI would have nothing to do.",
            hint="Add a node that keeps a result, such as SaveImage or PreviewImage.",
        )


def links_of(inputs: Json) -> Iterator[tuple[str, str]]:
    """Yield (input name, node id) for each input that is a link `[node_id, slot]`."""
    for name, value in inputs.items():
        if isinstance(value, list) and len(value) == 2:
            target, slot = value
            if isinstance(target, str) and isinstance(slot, _NUMBER):
                yield name, target


def _unusable(name: str, what: str) -> Iterator[Json]:
    """Yield an error for a name that cannot be stored in progress, results and errors of a task."""
    if not is_sound(name):
        yield fault("name_unusable", f"The {what} holds a NUL character or half of a character.")


def _node_faults(node_id: str, node: Any, lost: Iterable[Json]) -> Iterator[Json]:
    """Yield the errors of a node, including those of its links, `lost`."""
    if len(node_id) > MAX_NAME:
        yield fault("name_too_long", f"The id of a node may have {MAX_NAME} characters.")
    yield from _unusable(node_id, "node id")
    if not isinstance(node, dict):
        yield fault("invalid_node", "A node must be an object with class_type and inputs.")
        return
    class_type, inputs = node.get("class_type"), node.get("inputs")
    if not isinstance(class_type, str) or not class_type:
        yield fault("missing_class_type", "The node has no class_type (a non-empty string).")
    elif len(class_type) > MAX_NAME:
        yield fault("name_too_long", f"A class_type may have {MAX_NAME} characters.")
    else:
        yield from _unusable(class_type, "class_type")
    if not isinstance(inputs, dict):
        yield fault("missing_inputs", "The node has no inputs (an object; {} if it needs none).")
        return
    if len(inputs) > MAX_INPUTS:
        yield fault("too_many_inputs", f"It has {len(inputs)} inputs; {MAX_INPUTS} are allowed.")
        return
    yield from lost
    yield from _input_faults(inputs)


def _lost_links(links: Iterable[tuple[str, str]], prompt: Json) -> Iterator[Json]:
    for name, target in links:
        if target not in prompt:
            way = f"Input {quoted(name)} is linked to node {quoted(target)}"
            message = f"{way}, which is not in the workflow."
            yield fault("link_to_missing_node", message, name)


def _input_faults(inputs: Json) -> Iterator[Json]:
    all_finite = _finite(inputs)
    for name, value in inputs.items():
        if len(name) > MAX_NAME:
            message = f"The name of an input may have {MAX_NAME} characters."
            yield fault("name_too_long", message, name)
        if not all_finite and not _finite(value):
            message = f"Input {quoted(name)} holds a number that is not finite."
            yield fault("not_finite", message, name)


def _finite(value: Any) -> bool:
    """Return False if the value contains a NaN or an infinity (1e999 is parsed as infinity)."""
    stack: list[Any] = [[value]]
    while stack:
        item = stack.pop()
        for child in item.values() if type(item) is dict else item:
            kind = type(child)  # of what was JSON: `isinstance` takes three times as long
            if kind is float:
                if not math.isfinite(child):
                    return False
            elif kind is dict or kind is list:
                stack.append(child)
    return True


def _in_a_cycle(links: Links, among: Collection[str]) -> list[str]:
    """Return the nodes of `among` that are in a cycle or behind one.

    Kahn's algorithm: remove nodes without open links until none or only cycles are left.
    """
    needs = {
        node_id: {target for _, target in links[node_id] if target in among} for node_id in among
    }
    followers: dict[str, list[str]] = {}
    for node_id, targets in needs.items():
        for target in targets:
            followers.setdefault(target, []).append(node_id)
    ready = [node_id for node_id, targets in needs.items() if not targets]
    while ready:
        done = ready.pop()
        del needs[done]
        for follower in followers.get(done, ()):
            needs[follower].discard(done)
            if not needs[follower]:
                ready.append(follower)
    return list(needs)


def fault(kind: str, message: str, input_name: str | None = None) -> Json:
    """Return one error in the format of ComfyUI's node_errors."""
    extra = {"input_name": input_name} if input_name else {}
    return {"type": kind, "message": message, "details": input_name or "", "extra_info": extra}


def _invalid(prompt: Json, errors: Errors, count: int) -> InvalidWorkflow:
    """Return the error; `count` is the number of nodes with errors, including omitted ones."""
    first, faults = next(iter(errors.items()))
    more = f" ({count - 1} more nodes have faults)" if count > 1 else ""
    node_errors = {
        node_id: {"class_type": _class_type(prompt[node_id]), "errors": found}
        for node_id, found in errors.items()
    }
    omitted = {"node_errors": count - len(errors)}
    text = f"Node {quoted(first)}: {faults[0]['message']}{more}"
    return InvalidWorkflow(text, node_errors=node_errors, omitted=omitted)


def _class_type(node: Any) -> Any:
    return node.get("class_type") if isinstance(node, dict) else None


def _inputs(node: Any) -> Json:
    inputs = node.get("inputs") if isinstance(node, dict) else None
    return inputs if isinstance(inputs, dict) else {}
