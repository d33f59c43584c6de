"""Predicts what ComfyUI answers to a prompt, for all servers together: `validate_prompt` there."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.comfyui import problems
from app.comfyui.inputs import NodeTypes
from app.comfyui.own_rules import FILE_INPUTS
from app.comfyui.problems import Problem
from app.comfyui.validation import Validator
from app.errors import InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import DETAIL, bounded, cut, quoted
from app.workflows.checks.node_inputs import Known
from app.workflows.checks.prompt import links_of

MOST_TOLD = 64 * 1024  # bytes of errors that are told as they are


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a prompt.

    `error`: why it is refused, None if it is not. `outputs`: the output nodes to run. `prompt`: its
    nodes with their values as ComfyUI converts them; `left_out`: those of them that only outputs
    need which are not run.
    """

    error: Problem | None = None
    node_errors: Json = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    prompt: Json = field(default_factory=dict, repr=False)
    left_out: Json = field(default_factory=dict, repr=False)


class _Rules(Known):
    """As `Known`, and classes that load a file look whether there is one.

    `missing`: names in the prompt that are no uploads of the caller.
    """

    def __init__(self, types: NodeTypes, missing: Collection[str]) -> None:
        self._types = types
        self._missing = missing

    def custom(self, class_type: str, inputs: Json) -> list[Problem]:
        name, kind = FILE_INPUTS.get(class_type, ("", ""))
        file = inputs.get(name)
        if not isinstance(file, str) or file not in self._missing:
            return []
        for one in self._types.inputs(class_type, inputs):
            if one.name == name and file in (one.choices or ()):
                return []  # a server has it
        return [problems.custom_validation_failed(name, f"Invalid {kind} file: {file}")]


def judge(
    prompt: Json, object_info: Mapping[str, Json], targets: Any, missing: Collection[str] = ()
) -> Judged:
    """Return what ComfyUI says of a prompt.

    `object_info` may be empty while no server is known: then nothing is refused. `targets`: the
    ids of the outputs to run, None for all; as in ComfyUI, a text stands for the ids in it. Raises
    InvalidWorkflow for nodes that are none, where ComfyUI answers 500.
    """
    for node_id, node in prompt.items():
        _check_node(node_id, node)
        if object_info and node.get("class_type") not in object_info:
            missing_type = problems.missing_node_type("missing_node_type", node_id, node)
            is_long = len(json.dumps(missing_type)) > MOST_TOLD
            return Judged(_brief(missing_type) if is_long else missing_type)
    converted = {
        node_id: {**node, "inputs": dict(node["inputs"])} if "inputs" in node else node
        for node_id, node in prompt.items()
    }
    if not object_info:
        return Judged(None if prompt else problems.no_outputs(), prompt=converted)
    types = NodeTypes(object_info)
    validator = Validator(converted, types, _Rules(types, missing), rewrites=True)
    wanted = validator.outputs(targets)
    if not wanted:
        return Judged(problems.no_outputs())
    verdict = validator.verdict(wanted)
    failed = None if verdict.outputs else problems.outputs_failed(verdict.details)
    error, node_errors = _told(failed, verdict.node_errors)
    if error is not None:
        return Judged(error, node_errors)
    _keep_wrapped(prompt, converted)
    others = [one for one in validator.outputs() if one not in verdict.outputs]
    left_out = _only_for(others, verdict.outputs, converted) if others else {}
    return Judged(None, node_errors, verdict.outputs, converted, left_out)


def _brief(error: Problem) -> Problem:
    return {**error, "message": cut(error["message"], DETAIL), "extra_info": {}}


def _told(error: Problem | None, node_errors: Json) -> tuple[Problem | None, Json]:
    """Return what is told of the errors: all, unless it repeats much of the request."""
    if len(json.dumps([error, node_errors])) <= MOST_TOLD:
        return error, node_errors
    if error is not None:
        error = {**error, "details": cut(error["details"], DETAIL)}
    return error, bounded({"node_errors": node_errors})["node_errors"]


def file_names(prompt: Json) -> set[str]:
    """Return the names of files that nodes of ComfyUI itself load."""
    found: set[str] = set()
    for node in prompt.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        class_type = node.get("class_type") if isinstance(node, dict) else None
        if isinstance(inputs, dict) and isinstance(class_type, str):
            value = inputs.get(FILE_INPUTS.get(class_type, ("", ""))[0])
            found |= {value} if isinstance(value, str) else set()
    return found


def _check_node(node_id: str, node: Any) -> None:
    if not isinstance(node, dict):
        wrong = "a node must be an object with class_type and inputs"
    elif isinstance(node.get("class_type"), dict | list):
        wrong = "class_type must be a text"
    elif not isinstance(node.get("inputs", {}), dict):
        wrong = "inputs must be an object"
    else:
        return
    raise InvalidWorkflow(f"Node {quoted(node_id)}: {wrong}.")


def _keep_wrapped(prompt: Json, converted: Json) -> None:
    """Put back lists that are no links, `{"__value__": [...]}`: each server unwraps them anew."""
    for node_id, node in prompt.items():
        for name, value in node.get("inputs", {}).items():
            if isinstance(value, dict):
                converted[node_id]["inputs"][name] = value


def _only_for(others: Iterable[str], outputs: Iterable[str], prompt: Json) -> Json:
    needed = _upstream(outputs, prompt)
    found = _upstream(others, prompt) - needed
    return {node_id: node for node_id, node in prompt.items() if node_id in found}


def _upstream(node_ids: Iterable[str], prompt: Json) -> set[str]:
    stack = list(node_ids)
    found = set(stack)
    while stack:
        for _, target in links_of(prompt[stack.pop()].get("inputs", {})):
            if target in prompt and target not in found:
                found.add(target)
                stack.append(target)
    return found
