"""What a server must have to run a prompt, and which prompts cost alike. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from app.quoting import MOST, SHORT, cut, quoted
from app.workflows.applying import SEED_INPUTS
from app.workflows.checks import links_of
from app.workflows.model_files import is_model_file
from app.workflows.parameters import choices_of, definition_of, takes_upload

Json = dict[str, Any]


class ModelFile(NamedTuple):
    """A model file as a prompt names it: the choice `name` of an input of a node type."""

    class_type: str
    input: str
    name: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Node types and model files, each once."""

    classes: frozenset[str] = field(default_factory=frozenset)
    files: frozenset[ModelFile] = field(default_factory=frozenset)

    @property
    def models(self) -> frozenset[str]:
        """The names of the model files, by which a server has them warm."""
        return frozenset(file.name for file in self.files)

    def dump(self) -> str:
        """As JSON, always the same for the same needs."""
        return json.dumps([sorted(self.classes), sorted(self.files)], separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "Needs":
        classes, files = json.loads(text)
        return cls(frozenset(classes), frozenset(ModelFile(*file) for file in files))


def needs_of(prompt: Json) -> Needs:
    """The needs of a checked prompt. What counts as a model file is told by its name: choices of
    other kinds (samplers, modes) are ComfyUI's to check."""
    files = {
        ModelFile(node["class_type"], name, value)
        for node in prompt.values()
        for name, value in node["inputs"].items()
        if is_model_file(value)
    }
    return Needs(frozenset(node["class_type"] for node in prompt.values()), frozenset(files))


@dataclass(frozen=True, slots=True)
class Lack:
    """What one server does not have of a prompt's needs."""

    classes: tuple[str, ...] = ()
    files: tuple[ModelFile, ...] = ()

    def __len__(self) -> int:
        return len(self.classes) + len(self.files)

    def __str__(self) -> str:
        said = [f"node type {quoted(name)}" for name in self.classes[:MOST]]
        said += [
            f"file {quoted(file.name)} for {cut(file.class_type, SHORT)}"
            for file in self.files[:MOST]
        ]
        return ", ".join(said)


def lack_of(needs: Needs, node_types: Mapping[str, Json]) -> Lack:
    """What is missing on a server with these node types (its object_info).

    A file counts as missing only if the input is a list of choices there that does not name it;
    a text that happens to look like a file name is none.
    """
    return Lack(
        tuple(sorted(name for name in needs.classes if name not in node_types)),
        tuple(sorted(file for file in needs.files if _is_missing(file, node_types))),
    )


def _is_missing(file: ModelFile, node_types: Mapping[str, Json]) -> bool:
    node = {"class_type": file.class_type, "inputs": {}}
    definition = definition_of(node, file.input, node_types)
    choices = choices_of(definition)
    return choices is not None and not takes_upload(definition) and file.name not in choices


def shape_of(prompt: Json) -> str:
    """The same for prompts that should take the same time: the graph with its numbers and model
    files, without seeds and texts. 32 hexadecimal digits."""
    parts = [
        [node_id, node["class_type"], sorted(_costs(node["inputs"]), key=str)]
        for node_id, node in sorted(prompt.items())
    ]
    return fingerprint(json.dumps(parts, separators=(",", ":")))


def _costs(inputs: Json) -> Iterable[tuple[str, Any]]:
    links = {name for name, _ in links_of(inputs)}
    for name, value in inputs.items():
        is_number = isinstance(value, int | float) and name not in SEED_INPUTS
        if name in links or is_number or is_model_file(value):
            yield name, value


def fingerprint(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
