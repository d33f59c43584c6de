"""What a server needs to run a prompt, and the shape of a prompt. Pure."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

from app.limits.json_types import Json
from app.limits.quoting import MAX_ENTRIES, SHORT, cut, quoted
from app.workflows.checks.model_files import is_model_file, with_slashes
from app.workflows.checks.prompt import links_of
from app.workflows.parameters.model import choices_of, definition_of, takes_upload
from app.workflows.parameters.seeds import names_seed

# A node type that is added to the needs of a task that shares its graph: gateways that cannot read
# shared graphs find no server for it. Can be removed in the release after the next one.
SHARED_GRAPH = "(a newer gateway: this one cannot read graphs that tasks share)"


# Prefix of a node type that encodes a server's refusal: older gateways leave such a task to newer
# ones.
REFUSED = "(a newer gateway: servers refused it) "


_dump = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would make one each time


_NUMBER = (int, float)


class Refusal(NamedTuple):
    """A server that refuses the prompt, with a short reason; other servers may accept it."""

    server: str
    reason: str


class ModelFile(NamedTuple):
    """A model file in a prompt: the choice `name` of an input of a node type."""

    class_type: str
    input: str
    name: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Required node types and model files, and servers that are excluded."""

    classes: frozenset[str] = field(default_factory=frozenset)
    files: frozenset[ModelFile] = field(default_factory=frozenset)
    refused: frozenset[Refusal] = field(default_factory=frozenset)

    @property
    def refusers(self) -> frozenset[str]:
        return frozenset(refusal.server for refusal in self.refused)

    @property
    def models(self) -> frozenset[str]:
        """The names of the model files, with slashes, as in `Server.warm`."""
        return frozenset(with_slashes(file.name) for file in self.files)

    def dump(self, *more: str) -> str:
        """Serialize deterministically to JSON; `more` are additional classes."""
        said = [f"{REFUSED}{json.dumps(refusal)}" for refusal in self.refused]
        classes = sorted({*self.classes, *said, *more})
        return _dump([classes, sorted(self.files)])

    @classmethod
    def load(cls, text: str) -> "Needs":
        classes, files = json.loads(text)
        said = {name for name in classes if name.startswith(REFUSED)}
        return cls(
            frozenset(classes) - {SHARED_GRAPH} - said,
            frozenset(ModelFile(*file) for file in files),
            frozenset(Refusal(*json.loads(name.removeprefix(REFUSED))) for name in said),
        )


def fingerprint(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class TaskRequirements:
    """Needs and wanted server of a task, as stored: tasks with equal ones share the id.

    `text` is the needs as JSON.
    """

    requirements_id: str
    needs: Needs
    wanted_server: str | None
    text: str = field(repr=False)


def requirements_of(
    needs: Needs, wanted_server: str | None = None, *, shares_graph: bool = False
) -> TaskRequirements:
    """Return the requirements, with their text and id.

    `shares_graph`: for a task with a shared graph. An older gateway that cannot read shared graphs
    finds no server for the text, and leaves the task to newer ones.
    """
    text = needs.dump(*[SHARED_GRAPH] if shares_graph else [])
    return TaskRequirements(
        fingerprint(f"{wanted_server or ''} {text}"), needs, wanted_server, text
    )


NO_REQUIREMENTS = requirements_of(Needs())


def needs_of(prompt: Json) -> Needs:
    """Return the needs of a checked prompt.

    Model files are recognized by their names; other choices (samplers, modes) are validated by
    ComfyUI.
    """
    files = chain.from_iterable(map(_files_of, prompt.values()))
    return Needs(_classes_of(prompt), frozenset(files))


def _classes_of(prompt: Json) -> frozenset[str]:
    return frozenset(node["class_type"] for node in prompt.values())


def _files_of(node: Json) -> list[ModelFile]:
    return [
        ModelFile(node["class_type"], name, value)
        for name, value in node["inputs"].items()
        if is_model_file(value)
    ]


@dataclass(frozen=True, slots=True)
class Lack:
    """The needs that one server does not meet."""

    classes: tuple[str, ...] = ()
    files: tuple[ModelFile, ...] = ()

    def __len__(self) -> int:
        return len(self.classes) + len(self.files)

    def weight(self) -> int:
        """Weight in a bounded cache."""
        return 50 + len(self)

    def __str__(self) -> str:
        said = [f"node type {quoted(name)}" for name in self.classes[:MAX_ENTRIES]]
        said += [
            f"file {quoted(file.name)} for {cut(file.class_type, SHORT)}"
            for file in self.files[:MAX_ENTRIES]
        ]
        return ", ".join(said)


def lack_of(needs: Needs, node_types: Mapping[str, Json]) -> Lack:
    """Return what a server with these node types (its object_info) lacks.

    A file counts as missing only if the input is a list of choices without that name, so that a
    text that looks like a file name is not a need.
    """
    offered: dict[tuple[str, str], frozenset[str] | None] = {}  # cached per input
    missing = []
    for file in needs.files:
        place = (file.class_type, file.input)
        if place not in offered:
            names = names_offered(*place, node_types)
            offered[place] = names if names is None else frozenset(map(with_slashes, names))
        known = offered[place]
        if known is not None and with_slashes(file.name) not in known:
            missing.append(file)
    return Lack(
        tuple(sorted(name for name in needs.classes if name not in node_types)),
        tuple(sorted(missing)),
    )


def names_offered(
    class_type: str, input_name: str, node_types: Mapping[str, Json]
) -> list[str] | None:
    """Return the names that an input accepts; None if it accepts any."""
    node = {"class_type": class_type, "inputs": {}}
    definition = definition_of(node, input_name, node_types)
    choices = choices_of(definition)
    if choices is None or takes_upload(definition):
        return None
    return [choice for choice in choices if isinstance(choice, str)]


def shape_of(prompt: Json) -> str:
    """Return the shape of a prompt, as 32 hexadecimal digits; equal shapes should take equally
    long.

    The shape covers the graph with its numbers and model files, without seeds and texts.
    """
    return _shape(_part(node_id, node, _files_of(node)) for node_id, node in sorted(prompt.items()))


def _shape(parts: Iterable[str]) -> str:
    return fingerprint(f"[{','.join(parts)}]")


def _part(node_id: str, node: Json, files: Iterable[ModelFile]) -> str:
    """Return the node's part of the shape; `files`: the model files that it names."""
    costs = sorted(_costs(node["inputs"], {file.input for file in files}), key=_quoted_name)
    return _dump([node_id, node["class_type"], costs])


def _quoted_name(cost: tuple[str, Any]) -> str:
    """Sort key that orders names as Python prints them, which stored shapes depend on."""
    return repr(cost[0])


class Variations:
    """Needs and shapes of variations of one prompt.

    Only the nodes in `varied` (ids) may have other inputs, so the rest is evaluated once.
    """

    def __init__(self, prompt: Json, varied: Collection[str]) -> None:
        self._classes = _classes_of(prompt)
        self._varied = {node_id: prompt[node_id] for node_id in varied}
        files = {
            node_id: [] if node_id in varied else _files_of(prompt[node_id])
            for node_id in sorted(prompt)
        }
        self._files = frozenset(chain.from_iterable(files.values()))
        self._parts = {
            node_id: "" if node_id in varied else _part(node_id, prompt[node_id], found)
            for node_id, found in files.items()
        }
        self._known: dict[str, tuple[Needs, str]] = {}  # by the varied nodes
        self._needs: dict[Needs, Needs] = {}  # interned: many variations have equal needs

    def of(self, nodes: Json) -> tuple[Needs, str]:
        """Return `needs_of` and `shape_of` the prompt with these nodes in place of its own."""
        nodes = {**self._varied, **nodes}
        files = {node_id: _files_of(node) for node_id, node in nodes.items()}
        parts = {node_id: _part(node_id, node, files[node_id]) for node_id, node in nodes.items()}
        key = _shape(parts.values())
        if key not in self._known:
            needs = Needs(self._classes, self._files.union(*files.values()))
            needs = self._needs.setdefault(needs, needs)
            self._known[key] = needs, _shape({**self._parts, **parts}.values())
        return self._known[key]


def _costs(inputs: Json, files: Collection[str]) -> Iterable[tuple[str, Any]]:
    """`files`: the inputs that name model files."""
    links = {name for name, _ in links_of(inputs)}
    for name, value in inputs.items():
        is_number = isinstance(value, _NUMBER) and not names_seed(name)
        if name in files:
            yield name, with_slashes(value)
        elif name in links or is_number:
            yield name, value
