"""Turns the workflow of a submit into prompts that can be queued."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import NoServer
from app.limits.json_types import Json
from app.servers.core_nodes import core_node_types
from app.services.batches import OwnBytes, check_graph, check_needs, size_of
from app.workflows.checks.file_names import check_names
from app.workflows.checks.numbers import check_numbers
from app.workflows.checks.prompt import check_outputs, check_structure
from app.workflows.conversion import convert
from app.workflows.formats import Format, unwrap
from app.workflows.parameters.apply import Change, Renewed, Setter, changed_nodes, with_changes
from app.workflows.parameters.dynamic_text import DynamicTexts, left_unfilled
from app.workflows.parameters.file_inputs import file_inputs, located
from app.workflows.parameters.roles import InputKey
from app.workflows.references.results import results_in
from app.workflows.requirements import (
    NO_REQUIREMENTS,
    Needs,
    TaskRequirements,
    Variations,
    requirements_of,
)

Made = tuple[tuple[Change, ...], Json, list[str]]  # the changes, params and warnings of one task


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt to queue, with the parameter values that were set (seeds resolved) and the warnings.

    `changes`: for a task of a batch, whose tasks share `prompt`: the inputs to set in it.
    """

    prompt: Json = field(repr=False)
    params: Json = field(default_factory=dict, repr=False)
    warnings: list[str] = field(default_factory=list)
    changes: tuple[Change, ...] = ()
    requirements: TaskRequirements = NO_REQUIREMENTS
    shape: str = ""
    from_page: bool = False  # converted from UI format, with dynamic texts filled in
    drawn: Renewed = field(default="all", repr=False)  # which seeds `randomize` draws anew
    # Groups of inputs that are set together
    alike: Sequence[Sequence[InputKey]] = field(default=(), repr=False)
    # Texts of a UI file before they were filled in, and the node names that they may refer to.
    texts: Mapping[InputKey, str] = field(default_factory=dict, repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Inputs whose values follow from dynamic texts of the UI file
    from_templates: Collection[InputKey] = ()

    def setter(
        self,
        node_types: Mapping[str, Json],
        *,
        randomize: bool,
        fill_texts: bool | None,
        any_file: bool = False,
    ) -> Setter:
        return Setter(
            self.prompt,
            node_types,
            any_file=any_file,
            renewed=self.drawn if randomize else (),
            alike=self.alike,
            texts=_texts(self, node_types, fill_texts),
        )

    def whole(self) -> Json:
        """Return the prompt with its changes applied."""
        return with_changes(self.prompt, self.changes) if self.changes else self.prompt


def to_prompt(workflow: Any, node_types: Mapping[str, Json]) -> Prepared:
    """Return the prompt in a workflow's JSON, converted if it is in UI format.

    `node_types` may be empty while no server is known: nodes of ComfyUI itself are converted all
    the same. Raises WorkflowFormatUnsupported, InvalidWorkflow, and NoServer if there are other
    nodes.
    """
    kind, graph = unwrap(workflow)
    known = node_types or core_node_types()
    if kind is Format.API:
        return Prepared(graph, warnings=check_structure(graph, known))
    conversion = convert(graph, known)
    if not node_types and conversion.warnings:
        raise NoServer(
            "The workflow is in UI format, and no ComfyUI server has told its node types yet: "
            f"{' '.join(conversion.warnings)}",
            hint="Start ComfyUI, or send the workflow in API format (Workflow > Export (API)).",
        )
    warnings = [*conversion.warnings, *check_structure(conversion.prompt, known)]
    return Prepared(
        conversion.prompt,
        warnings=warnings,
        from_page=True,
        drawn=conversion.drawn,
        alike=conversion.alike,
        texts=conversion.texts,
        named=conversion.named,
    )


def files_wanted(
    workflow: Any, given: Sequence[str], node_types: Mapping[str, Json]
) -> tuple[Json, dict[str, str]]:
    """Return the results that the workflow itself names as input files, as params, and the file
    kinds that these and the `given` parameters take.

    Raises as `to_prompt` does.
    """
    known = node_types or core_node_types()
    prompt = to_prompt(workflow, node_types).prompt
    anew = set(located(prompt, given, known).values())
    found = dict(results_in(prompt, anew, known))
    return found, file_inputs(prompt, [*found, *given], known)


def prepare(
    workflow: Any,
    param_sets: Sequence[Mapping[str, Any]],
    node_types: Mapping[str, Json],
    *,
    lenient: bool = False,
    shared: bool = False,
    randomize: bool = False,
    fill_texts: bool | None = None,
    each: Any = None,
    wanted_server: str | None = None,
) -> list[Prepared]:
    """Check the workflow and set its parameters once for each of `param_sets`.

    `node_types` may be empty while no server is known: ComfyUI itself checks the prompt again.
    `lenient`: accept model files that no server has yet. `shared`: all tasks share one prompt, with
    changes. `randomize`: draw seeds anew for each task. `fill_texts`: see `_texts`. `each`: what
    else is stored with each task. Raises PayloadTooLarge if the tasks take too much storage.
    """
    found = to_prompt(workflow, node_types)
    check_outputs(found.prompt, node_types)
    if shared:
        check_graph(len(param_sets), len(found.prompt), size_of(found.prompt))
    setter = found.setter(node_types, randomize=randomize, fill_texts=fill_texts, any_file=lenient)
    stored = size_of(each) + sum(map(size_of, found.warnings)) if shared else 0
    own = OwnBytes(len(param_sets), stored)
    made: list[Made] = []
    for params in param_sets:
        changes, used = setter.changes(params)
        made.append((tuple(changes), {**params, **used}, [*found.warnings, *setter.warnings]))
        inputs = sum(len(found.prompt[node_id]["inputs"]) for node_id in {c[0] for c in changes})
        own.add(made[-1][1], inputs)
    first = with_changes(found.prompt, made[0][0])
    unused = check_names(first, node_types)
    unfilled = [] if found.from_page or fill_texts is not None else left_unfilled(first)
    for _, _, warnings in made:
        warnings.extend((*unused, *unfilled))
    check_numbers(first, node_types or core_node_types())
    return _variations(found, made, wanted_server, setter.from_templates, shared=shared)


def _variations(
    found: Prepared,
    made: Sequence[Made],
    wanted_server: str | None,
    from_templates: Collection[InputKey],
    *,
    shared: bool,
) -> list[Prepared]:
    """Build the tasks' prompts and requirements. Raises PayloadTooLarge."""
    varied = {node_id for changes, _, _ in made for node_id, _, _ in changes}
    variations = Variations(found.prompt, varied)
    known: dict[Needs, TaskRequirements] = {}
    prepared: list[Prepared] = []
    for changes, params, warnings in made:
        nodes = changed_nodes(found.prompt, changes)
        needs, shape = variations.of(nodes)
        if needs not in known:
            known[needs] = requirements_of(needs, wanted_server, shares_graph=shared)
        one = Prepared(
            found.prompt if shared else {**found.prompt, **nodes},
            params,
            warnings,
            changes if shared else (),
            requirements=known[needs],
            shape=shape,
            from_templates=from_templates,
        )
        prepared.append(one)
    check_needs(requirements.text for requirements in known.values())
    return prepared


def with_params(
    found: Prepared,
    params: Mapping[str, Any],
    node_types: Mapping[str, Json],
    randomize: bool = False,
    fill_texts: bool | None = None,
) -> Prepared:
    """Return `found` with the parameters set. Raises InvalidParameter."""
    setter = found.setter(node_types, randomize=randomize, fill_texts=fill_texts)
    changes, used = setter.changes(params)
    prompt = with_changes(found.prompt, changes)
    return Prepared(prompt, {**params, **used}, [*found.warnings, *setter.warnings])


def _texts(
    found: Prepared, node_types: Mapping[str, Json], fill: bool | None
) -> DynamicTexts | None:
    """Return what fills in dynamic texts; None if none are filled in.

    In a UI file the texts that parameters set are filled in unless `fill` is False, as the file's
    own already were; in an API-format file all texts are, but only if `fill` is true.
    """
    if not (fill or found.from_page):
        return None
    return DynamicTexts(
        found.prompt,
        node_types or core_node_types(),
        own=not found.from_page,
        given=fill is not False,
        in_file=found.texts,
        named=found.named,
    )
