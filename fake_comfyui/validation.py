"""Checks a prompt by ComfyUI's rules, and against the files that lie here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.comfyui import problems
from app.comfyui.own_rules import FILE_INPUTS
from app.comfyui.problems import Problem
from app.comfyui.validation import PromptRules, TooDeep, Validator
from fake_comfyui.catalogue import Catalogue
from fake_comfyui.folders import Folders, is_file
from fake_comfyui.graph import Graph
from fake_comfyui.order import Order


class Malformed(Exception):
    """The body is so odd that the real server answers 500."""


@dataclass(slots=True)
class Answer:
    """What POST /prompt has to answer: an error, or the outputs to run."""

    error: Problem | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, dict[str, Any]] = field(default_factory=dict)


class DiskRules(PromptRules):
    """Classes that load files look whether they are there."""

    deepest = 950  # the real server recurses; beyond this Python gives up there

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def custom(self, class_type: str, inputs: dict[str, Any]) -> list[Problem]:
        name, kind = FILE_INPUTS.get(class_type, ("", ""))
        file = inputs.get(name)
        if not name or name not in inputs or isinstance(file, list) or self._has(file):
            return []
        return [problems.custom_validation_failed(name, f"Invalid {kind} file: {file}")]

    def _has(self, name: Any) -> bool:
        try:
            return is_file(self._folders.annotated(str(name)))
        except ValueError:
            return False


def answer(
    graph: Graph,
    catalogue: Catalogue,
    folders: Folders,
    targets: Any,
    unknown_class: str,
    order: Order = list,
) -> Answer:
    """The graph's values are rewritten to what ComfyUI makes of them. `targets`: the ids of the
    outputs that are wanted, None for all. `unknown_class`: what the error of a missing node type
    is called. `order`: that in which outputs are looked at, and run. Raises Malformed."""
    for node_id, node in graph.items():
        if not isinstance(node, dict) or isinstance(node.get("class_type"), dict | list):
            raise Malformed(node_id)
        if catalogue.get(node.get("class_type")) is None:
            return Answer(problems.missing_node_type(unknown_class, node_id, node))
        if not isinstance(node.get("inputs", {}), dict):
            raise Malformed(node_id)
    validator = Validator(graph, catalogue.types, DiskRules(folders), rewrites=True)
    wanted = order(validator.outputs(targets))
    if not wanted:
        return Answer(problems.no_outputs())
    try:
        verdict = validator.verdict(wanted)
    except TooDeep as error:
        raise Malformed("too deep") from error
    failed = None if verdict.outputs else problems.outputs_failed(verdict.details)
    return Answer(failed, verdict.outputs, verdict.node_errors)
