"""From what a client sends to a prompt that is fit to queue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import NoServer
from app.servers.core_nodes import core_node_types
from app.workflows.applying import apply_params
from app.workflows.checks import check_classes, check_structure
from app.workflows.conversion import convert
from app.workflows.formats import Format, unwrap

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt to queue, the parameter values it was made with (seeds resolved), and what was
    doubtful about its conversion."""

    prompt: Json
    params: Json = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def to_prompt(workflow: Any, node_types: Mapping[str, Json]) -> Prepared:
    """The prompt in a workflow's JSON, converted if it is in UI format.

    `node_types` may be empty while no server is known: common nodes are converted all the same.
    Raises WorkflowFormatUnsupported, InvalidWorkflow, and NoServer if there are others.
    """
    kind, graph = unwrap(workflow)
    if kind is Format.API:
        check_structure(graph)
        return Prepared(graph)
    conversion = convert(graph, node_types or core_node_types())
    if not node_types and conversion.warnings:
        raise NoServer(
            "The workflow is in UI format, and no ComfyUI server has told its node types yet: "
            f"{' '.join(conversion.warnings)}",
            hint="Start ComfyUI, or send the workflow in API format (Workflow > Export (API)).",
        )
    check_structure(conversion.prompt)
    return Prepared(conversion.prompt, warnings=conversion.warnings)


def prepare(workflow: Any, params: Mapping[str, Any], node_types: Mapping[str, Json]) -> Prepared:
    """Check the workflow, set its parameters. `node_types` may be empty while no server is known:
    ComfyUI itself checks the prompt again."""
    found = to_prompt(workflow, node_types)
    if node_types:
        check_classes(found.prompt, node_types)
    return with_params(found, params, node_types)


def with_params(
    found: Prepared, params: Mapping[str, Any], node_types: Mapping[str, Json]
) -> Prepared:
    """The same with parameters set. Raises InvalidParameter."""
    prompt, used = apply_params(found.prompt, params, node_types)
    return Prepared(prompt, used, found.warnings)
