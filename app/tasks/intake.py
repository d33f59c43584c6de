"""From what a client sends to a prompt that is fit to queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import WorkflowFormatUnsupported
from app.workflows.checks import check_classes, check_structure
from app.workflows.formats import Format, unwrap
from app.workflows.parameters import apply_params

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt to queue, and the parameter values that it was made with (seeds resolved)."""

    prompt: Json
    params: Json


def prompt_of(workflow: Any) -> Json:
    """The prompt in a workflow's JSON. Raises WorkflowFormatUnsupported and InvalidWorkflow."""
    kind, graph = unwrap(workflow)
    if kind is Format.UI:
        raise WorkflowFormatUnsupported(
            "This workflow is in ComfyUI's UI format, which cannot be converted here yet.",
            hint="In ComfyUI choose Workflow > Export (API) and send that file.",
            workflow_format="ui",
        )
    check_structure(graph)
    return graph


def prepare(workflow: Any, params: Mapping[str, Any], node_types: Mapping[str, Json]) -> Prepared:
    """Check the workflow, set its parameters. `node_types` may be empty while no server is known:
    ComfyUI itself checks the prompt again."""
    prompt = prompt_of(workflow)
    if node_types:
        check_classes(prompt, node_types)
    return Prepared(*apply_params(prompt, params, node_types))
