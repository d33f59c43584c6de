"""Saved workflows as users see and change them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.errors import WorkflowFormatUnsupported
from app.workflows.checks import check_structure
from app.workflows.formats import Format, unwrap
from app.workflows.library import Library
from app.workflows.parameters import Parameter, apply_params, list_parameters

Json = dict[str, Any]


def describe(workflow: Any, node_types: Mapping[str, Json]) -> tuple[Format, Json, list[Parameter]]:
    """A workflow's format, graph and parameters. Raises InvalidWorkflow and its kinds."""
    kind, graph = unwrap(workflow)
    if kind is Format.UI:
        return kind, graph, []  # parameters of the UI format need its conversion
    check_structure(graph)
    return kind, graph, list_parameters(graph, node_types)


def update(
    library: Library,
    filename: str,
    params: Mapping[str, Any] | None,
    workflow: Json | None,
    node_types: Mapping[str, Json],
) -> tuple[str, Any]:
    """Save a new graph, or new parameter values, into a file; answers its name and content.

    A seed of -1 is saved as it is: every run then gets another one. Raises WorkflowNotFound,
    InvalidWorkflow and InvalidParameter; the file is unchanged then.
    """
    name, changed = library.read(filename)
    if workflow is not None:
        changed = workflow
        describe(changed, node_types)
    else:
        kind, graph = unwrap(changed)
        if kind is Format.UI:
            raise WorkflowFormatUnsupported(
                f"{name!r} is in UI format, whose parameters cannot be set here yet.",
                hint="Send the whole changed workflow instead, or keep it in API format.",
            )
        check_structure(graph)
        changed, _ = apply_params(graph, params or {}, node_types, new_seed=lambda: -1)
    return library.save(name, changed, overwrite=True), changed


def listing(library: Library) -> list[Json]:
    return [
        {
            "filename": entry.filename,
            "format": entry.format,
            "size_bytes": entry.size_bytes,
            "modified_at": datetime.fromtimestamp(entry.modified_at, UTC)
            .isoformat(timespec="seconds")
            .replace("+00:00", "Z"),
        }
        for entry in library.list()
    ]
