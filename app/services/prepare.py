"""From what a client sends to a prompt that is fit to queue."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

Made = tuple[tuple[Change, ...], Json, list[str]]  # changes, params and warnings of one task


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt to queue, the parameter values it was made with (seeds resolved), and what was
    doubtful about its conversion.

    `changes`: of one of a batch, whose prompts share all else: what is to be set in `prompt`.
    """

    prompt: Json = field(repr=False)
    params: Json = field(default_factory=dict, repr=False)
    warnings: list[str] = field(default_factory=list)
    changes: tuple[Change, ...] = ()
    requirements: TaskRequirements = NO_REQUIREMENTS
    shape: str = ""
    from_page: bool = False  # converted from UI format, its texts filled in
    drawn: Renewed = field(default="all", repr=False)  # what to draw anew where that is asked for
    alike: Sequence[Sequence[InputKey]] = field(default=(), repr=False)  # inputs set as one
    # Texts of the page's file before they were filled in, and the nodes that they name.
    texts: Mapping[InputKey, str] = field(default_factory=dict, repr=False)
    named: Mapping[str, str] = field(default_factory=dict, repr=False)
    from_templates: Collection[InputKey] = ()  # what follows from texts of the page's file

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
        """The prompt to run."""
        return with_changes(self.prompt, self.changes) if self.changes else self.prompt


def to_prompt(workflow: Any, node_types: Mapping[str, Json]) -> Prepared:
    """The prompt in a workflow's JSON, converted if it is in UI format.

    `node_types` may be empty while no server is known: common nodes are converted all the same.
    Raises WorkflowFormatUnsupported, InvalidWorkflow, and NoServer if there are others.
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
    """The results that the workflow itself names as input files, as params; and what file inputs
    among these and the `given` words take. Raises as `to_prompt` does."""
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
    """Check the workflow, and set its parameters, once for each set of them. `node_types` may be
    empty while no server is known: ComfyUI itself checks the prompt again.

    `lenient`: model files may be named that no server has yet. `shared`: all are the same prompt,
    with changes. `randomize`: seeds are drawn anew for each. `fill_texts`: see `_texts`. `each`:
    what besides is stored with each task. Raises PayloadTooLarge if it is too much.
    """
    found = to_prompt(workflow, node_types)
    check_outputs(found.prompt, node_types)
    if shared:
        check_graph(len(param_sets), len(found.prompt), size_of(found.prompt))
    setter = found.setter(node_types, randomize=randomize, fill_texts=fill_texts, any_file=lenient)
    own = OwnBytes(len(param_sets), size_of(each) + sum(map(size_of, found.warnings)))
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
    found = replace(found, from_templates=setter.from_templates)
    return _variations(found, made, wanted_server, shared=shared)


def _variations(
    found: Prepared, made: Sequence[Made], wanted_server: str | None, *, shared: bool
) -> list[Prepared]:
    """Raises PayloadTooLarge."""
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
            from_templates=found.from_templates,
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
    """The same with parameters set. Raises InvalidParameter."""
    setter = found.setter(node_types, randomize=randomize, fill_texts=fill_texts)
    changes, used = setter.changes(params)
    prompt = with_changes(found.prompt, changes)
    return Prepared(prompt, {**params, **used}, [*found.warnings, *setter.warnings])


def _texts(
    found: Prepared, node_types: Mapping[str, Json], fill: bool | None
) -> DynamicTexts | None:
    """What fills in texts: those that are set in a file of the page, as its own were, unless the
    client says no; all of an API-format file if it says so."""
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
