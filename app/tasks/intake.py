"""From what a client sends to a prompt that is fit to queue."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import NoServer, NotRunnable
from app.quoting import quoted, quoted_list
from app.servers.core_nodes import core_node_types
from app.servers.server import Server
from app.tasks.batches import OwnBytes, check_graph, check_needs, size_of
from app.workflows.applying import Change, Setter, changed_nodes, with_changes
from app.workflows.checks import check_outputs, check_structure, fault
from app.workflows.conversion import convert
from app.workflows.file_inputs import file_inputs, located
from app.workflows.file_names import check_names
from app.workflows.formats import Format, unwrap
from app.workflows.near import Guesses
from app.workflows.needs import Lack, Needs, Variations
from app.workflows.result_refs import results_in

Json = dict[str, Any]
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
    needs: Needs = field(default_factory=Needs)
    shape: str = ""

    def whole(self) -> Json:
        """The prompt to run."""
        return with_changes(self.prompt, self.changes) if self.changes else self.prompt


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
    each: Any = None,
) -> list[Prepared]:
    """Check the workflow, and set its parameters, once for each set of them. `node_types` may be
    empty while no server is known: ComfyUI itself checks the prompt again.

    `lenient`: model files may be named that no server has yet. `shared`: all are the same prompt,
    with changes. `each`: what besides is stored with each task. Raises PayloadTooLarge if it is
    too much.
    """
    found = to_prompt(workflow, node_types)
    check_outputs(found.prompt, node_types)
    if shared:
        check_graph(len(param_sets), len(found.prompt), size_of(found.prompt))
    setter = Setter(found.prompt, node_types, any_file=lenient)
    own = OwnBytes(len(param_sets), size_of(each) + sum(map(size_of, found.warnings)))
    made: list[Made] = []
    for params in param_sets:
        changes, used = setter.changes(params)
        made.append((tuple(changes), {**params, **used}, [*found.warnings, *setter.warnings]))
        inputs = sum(len(found.prompt[node_id]["inputs"]) for node_id in {c[0] for c in changes})
        own.add(made[-1][1], inputs)
    check_names(with_changes(found.prompt, made[0][0]), node_types)
    prepared = list(_variations(found, made, shared=shared))
    check_needs(needs.dump() for needs in {one.needs for one in prepared})
    return prepared


def _variations(found: Prepared, made: Sequence[Made], *, shared: bool) -> Iterator[Prepared]:
    varied = {node_id for changes, _, _ in made for node_id, _, _ in changes}
    variations = Variations(found.prompt, varied)
    for changes, params, warnings in made:
        nodes = changed_nodes(found.prompt, changes)
        needs, shape = variations.of(nodes)
        prompt = found.prompt if shared else {**found.prompt, **nodes}
        yield Prepared(
            prompt, params, warnings, changes if shared else (), needs=needs, shape=shape
        )


def with_params(
    found: Prepared,
    params: Mapping[str, Any],
    node_types: Mapping[str, Json],
    *,
    lenient: bool = False,
) -> Prepared:
    """The same with parameters set. Raises InvalidParameter."""
    setter = Setter(found.prompt, node_types, any_file=lenient)
    changes, used = setter.changes(params)
    prompt = with_changes(found.prompt, changes)
    return Prepared(prompt, {**params, **used}, [*found.warnings, *setter.warnings])


def check_fit(found: Prepared, servers: Sequence[Server], *, any_file: bool = False) -> None:
    """Raise NotRunnable if none of the servers that have told what they have can run the prompt:
    it names what is missing on the one that comes nearest. `any_file`: but for model files."""
    known = [server for server in servers if server.node_types]
    needs = found.needs
    if any_file:
        needs = Needs(needs.classes)
    if not known or any(server.can_run(needs) for server in known):
        return
    nearest = min(known, key=lambda server: len(server.lacks(needs)))
    lack = nearest.lacks(needs)
    unknown = [server.id for server in servers if not server.node_types]
    doubt = f" {', '.join(unknown)} did not answer yet." if unknown else ""
    raise NotRunnable(
        f"No server can run this workflow. {nearest.id} comes nearest; it lacks {lack}."
        f"{_guesses(lack, known)}{doubt}",
        hint="Install what is missing, name what a server has (GET /api/models, GET /api/nodes), "
        'or send "wait_for_server": true (and API format) to wait until a server has it.',
        nearest_server=nearest.id,
        missing={"node_types": list(lack.classes), "files": [f._asdict() for f in lack.files]},
        node_errors=_node_errors(found.whole(), lack),
    )


def _guesses(lack: Lack, servers: Sequence[Server]) -> str:
    known = {name for server in servers for name in server.node_types}
    guesses = Guesses()
    near = [guesses.near(name, known) for name in lack.classes]
    words = quoted_list(name for names in near for name in names)
    return f" Did you mean {words}?" if words else ""


def _node_errors(prompt: Json, lack: Lack) -> Json:
    classes, files = frozenset(lack.classes), frozenset(lack.files)
    errors: dict[str, Json] = {}
    for node_id, node in prompt.items():
        class_type, inputs = node["class_type"], node["inputs"]
        faults = [
            fault("value_not_in_list", f"The server has no file {quoted(value)}.", name)
            for name, value in inputs.items()
            if isinstance(value, str) and (class_type, name, value) in files
        ]
        if class_type in classes:
            message = f"The server has no node type {quoted(class_type)}."
            faults.append(fault("missing_node_type", message))
        if faults:
            errors[node_id] = {"class_type": class_type, "errors": faults}
    return errors
