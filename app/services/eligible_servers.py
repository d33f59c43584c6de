"""Check a prompt against the servers that could run it, so that a submit that no server would
accept is refused at once."""

from collections.abc import Iterator, Sequence

from app.errors import InvalidWorkflow, NotRunnable
from app.limits.json_types import Json
from app.limits.quoting import quoted, quoted_list
from app.servers.server import Server
from app.services.prepare import Prepared
from app.workflows.checks.model_files import with_slashes
from app.workflows.checks.node_inputs import Acceptance
from app.workflows.checks.prompt import fault
from app.workflows.parameters.apply import changed_nodes
from app.workflows.parameters.suggestions import Guesses
from app.workflows.requirements import Lack, ModelFile, Needs, TaskRequirements, names_offered


def check_fit(found: Prepared, servers: Sequence[Server], *, any_file: bool = False) -> None:
    """Raise NotRunnable if no server whose node types are known can run the prompt.

    The error names what the closest server lacks. `any_file`: ignore missing model files.
    """
    known = [server for server in servers if server.node_types]
    needs = found.requirements.needs
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
    near += [guesses.near(file.name, _offered(file, servers), most=3) for file in lack.files]
    words = quoted_list(name for names in near for name in names)
    return f" Did you mean {words}?" if words else ""


def _offered(file: ModelFile, servers: Sequence[Server]) -> Iterator[str]:
    """Yield the file names that any server offers for the same input as `file`."""
    seen: set[str] = set()
    for server in servers:
        for name in names_offered(file.class_type, file.input, server.node_types) or ():
            if with_slashes(name) not in seen:
                seen.add(with_slashes(name))
                yield name


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


def check_faults(prepared: Sequence[Prepared], servers: Sequence[Server]) -> None:
    """Raise InvalidWorkflow if every server that could run one of the tasks would refuse it.

    The error has `node_errors` in ComfyUI's form, from the server that finds the fewest faults.
    `prepared`: the tasks of one submit, variations of one prompt. Servers whose node types are
    unknown are left out.
    """
    first = prepared[0].whole()
    found: dict[str, Acceptance] = {}  # of the first variation, by server id
    for one in prepared:
        verdicts: dict[str, Acceptance] = {}
        for server in (server for server in servers if server.can_run(one.requirements.needs)):
            if server.id not in found:
                found[server.id] = Acceptance(first, server.offer.inputs)
            verdicts[server.id] = _of_variation(found[server.id], prepared[0], one)
            if verdicts[server.id].takes:
                break
        else:
            if verdicts:
                raise _refusal(verdicts)


def check_prompt(prompt: Json, requirements: TaskRequirements, servers: Sequence[Server]) -> None:
    """Raise as `check_faults` does, for a single prompt."""
    check_faults([Prepared(prompt, requirements=requirements)], servers)


def _of_variation(found: Acceptance, first: Prepared, one: Prepared) -> Acceptance:
    if one is first:
        return found
    nodes = changed_nodes(one.prompt, one.changes)
    changed = {node_id: one.prompt[node_id] for node_id, _, _ in first.changes}
    return found.of({**changed, **nodes}, one.whole)


def _refusal(verdicts: dict[str, Acceptance]) -> InvalidWorkflow:
    nearest = min(verdicts, key=lambda server_id: verdicts[server_id].faults)
    extra = {"nearest_server": nearest} if len(verdicts) > 1 else {}
    return verdicts[nearest].refusal(**extra)
