"""Use cases for saved workflows: describe, save and edit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.limits.json_types import Json
from app.workflows.checks.prompt import check_structure
from app.workflows.conversion import convert
from app.workflows.embedded import extract, is_image
from app.workflows.extra_data import along, to_send
from app.workflows.formats import Format, page_file, picture_info, unwrap, with_page
from app.workflows.json_text import parse_leniently
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.model import Parameter, list_parameters
from app.workflows.saved.library import Check, Library, Saved
from app.workflows.saved.names import name_for_image
from app.workflows.saved.workflow_json import VersionEntryJson, WorkflowEntryJson
from app.workflows.saved.write_back import set_params


@dataclass(frozen=True, slots=True)
class Description:
    """A workflow for display; `graph` is in the file's own format."""

    format: Format
    graph: Json
    parameters: list[Parameter]
    warnings: list[str]


def describe(workflow: Any, definitions: Mapping[str, Json]) -> Description:
    """Return the description; keys of parameters are those of the API format.

    Raises InvalidWorkflow and its subclasses.
    """
    kind, graph = unwrap(workflow)
    prompt, warnings = graph, []
    if kind is Format.UI:
        conversion = convert(graph, definitions)
        prompt, warnings = conversion.prompt, conversion.warnings
    warnings = [*warnings, *check_structure(prompt, definitions)]
    return Description(kind, graph, list_parameters(prompt, definitions), warnings)


def keep(
    library: Library,
    filename: str,
    content: bytes,
    definitions: Mapping[str, Json],
    *,
    overwrite: bool,
) -> Saved:
    """Save a workflow from a JSON text or an image that ComfyUI saved.

    Raises InvalidJson, InvalidWorkflow and its subclasses, InvalidInput for the name, and
    WorkflowExists.
    """
    if is_image(content):
        filename, workflow = name_for_image(filename), extract(content)
    else:
        workflow = parse_leniently(content)
    return library.save(filename, _to_keep(workflow, definitions), overwrite=overwrite)


def _to_keep(workflow: Any, definitions: Mapping[str, Json]) -> Json:
    """Return the graph; for API format with the UI-format file, which later results embed.

    Everything else in the upload is dropped, as it may be secret.
    """
    found = describe(workflow, definitions)
    return with_page(found.graph, page_file(workflow) if found.format is Format.API else None)


def update(
    library: Library,
    filename: str,
    params: Mapping[str, Any] | None,
    workflow: Json | None,
    definitions: Mapping[str, Json],
    matches: Check | None = None,
) -> Saved:
    """Save a new graph or new parameter values into a file.

    A seed of -1 is stored as such in API format, so that every run draws another one. Raises
    WorkflowNotFound, PreconditionFailed, InvalidWorkflow and InvalidParameter, with the file
    unchanged.
    """

    def changed(name: str, present: Any) -> Json:
        if workflow is not None:
            return _to_keep(workflow, definitions)
        return with_params(present, params or {}, definitions)

    return library.change(filename, changed, matches)


def with_params(workflow: Any, params: Mapping[str, Any], definitions: Mapping[str, Json]) -> Json:
    """Return a saved workflow with new values, in its own format.

    A UI-format file next to an API-format graph is updated, too. Raises InvalidWorkflow and
    InvalidParameter.
    """
    kind, graph = unwrap(workflow)
    if kind is Format.UI:
        return set_params(graph, params, definitions)
    check_structure(graph, definitions)
    changed = apply_params(graph, params, definitions, new_seed=lambda *_: -1)[0]
    page = along({}, workflow, [(changed, ())], definitions, embed=True).stored
    return with_page(changed, picture_info(to_send(page, changed)).get("workflow"))


def listing(library: Library) -> list[WorkflowEntryJson]:
    return [
        {
            "filename": entry.filename,
            "format": entry.format,
            "size_bytes": entry.size_bytes,
            "modified_at": _time(entry.modified_at),
        }
        for entry in library.list()
    ]


def versions(library: Library, filename: str) -> list[VersionEntryJson]:
    return [
        {
            "version": version.id,
            "saved_at": _time(version.saved_at),
            "size_bytes": version.size_bytes,
        }
        for version in library.versions(filename)
    ]


def _time(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
