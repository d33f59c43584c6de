"""What a server has refused, so that the same is not sent there again while another may take it.

Remembered by values: options, limits, inputs that are required there, input files, node types.
Forgotten when the server goes away, or tells other node types than before. A refusal that names
nothing of the prompt says nothing of others: it stands for the identical prompt only, for a moment,
and is forgotten with any success there.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.comfyui.inputs import NodeTypes
from app.comfyui.validation import TooDeep, Validator
from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.limits.quoting import SHORT, cut, quoted
from app.workflows.checks.prompt import links_of
from app.workflows.requirements import fingerprint

MAX_REFUSED_VALUES = 10_000  # values of one server
PROMPTS = 1000  # that it refused without naming anything
MAX_VALUE_CHARACTERS = 200  # characters of a value beyond which its digest is kept
FRESH = 60.0  # seconds in which a refusal that names nothing stands
MAX_CHECKED_NODES = 1000  # nodes of a prompt that is not checked here before it is sent
NOTHING = "this prompt"  # what such a server refuses


class Given(NamedTuple):
    """An input of a node type with a value as JSON; None: the input is left out. Without the name
    of an input: a node with all its inputs, or (None) the node type."""

    class_type: str
    input: str
    value: str | None


class Refusals:
    """Of one server. `whose`: the API key's name; what one key was refused without a reason is not
    held against others, whose extra data may be another one."""

    def __init__(self) -> None:
        self._known: BoundedCache[Given, bool] = BoundedCache(MAX_REFUSED_VALUES)
        self._unnamed: BoundedCache[str, float] = BoundedCache(PROMPTS)  # by digest, and when

    def learn(
        self, prompt: Json, node_errors: Json, whose: str | None, class_type: str | None = None
    ) -> None:
        """Take in why a prompt was refused. `class_type`: a node type that is not there."""
        found = list(_named(prompt, node_errors))
        if class_type is not None:
            found.append(Given(class_type, "", None))
        for given in found:
            self._known.put(given, True)
        if not found:
            self._unnamed.put(_digest(prompt, whose), time.monotonic())

    def known(self, prompt: Json, whose: str | None) -> str | None:
        """Why it would refuse such a prompt, as far as it did before."""
        for given in _all(prompt) if len(self._known) else ():
            if self._known.get(given):
                return _words(given)
        if absent := self._absent(prompt):
            return _words(absent)
        at = self._unnamed.get(_digest(prompt, whose)) if len(self._unnamed) else None
        return NOTHING if at is not None and time.monotonic() - at < FRESH else None

    def _absent(self, prompt: Json) -> Given | None:
        classes = {node["class_type"] for node in prompt.values()}
        for given, _ in self._known.items():
            if given.value is None and given.class_type in classes:
                for node in prompt.values():
                    if node["class_type"] == given.class_type and given.input not in node["inputs"]:
                        return given
        return None

    def forget_unnamed(self) -> None:
        self._unnamed.clear()

    def forget(self) -> None:
        self._known.clear()
        self._unnamed.clear()


def shows(prompt: Json, node_types: Json) -> str | None:
    """Why a server with these node types (its object_info) should refuse the prompt; None if
    nothing speaks for it. It may take it all the same: ComfyUI is the judge."""
    if len(prompt) > MAX_CHECKED_NODES:
        return None
    validator = Validator(prompt, NodeTypes(node_types))
    try:
        verdict = validator.verdict(validator.outputs())
    except TooDeep:
        return None
    for node in verdict.node_errors.values():
        for error in node["errors"]:
            name = (error.get("extra_info") or {}).get("input_name")
            return f"{error['message']} ({name} of {cut(node['class_type'], SHORT)})"
    return None


def _named(prompt: Json, node_errors: Json) -> Iterator[Given]:
    """The inputs that a refusal names, and nodes of which it names none."""
    for node_id, faults in node_errors.items():
        node = prompt.get(node_id)
        for fault in faults.get("errors", ()):
            if node is None:
                continue
            extra = fault.get("extra_info")
            name = extra.get("input_name") if isinstance(extra, dict) else None
            yield _given(prompt, node, name) if isinstance(name, str) else _whole(prompt, node)


def _all(prompt: Json) -> Iterator[Given]:
    for node in prompt.values():
        yield _whole(prompt, node)
        for name in node["inputs"]:
            yield _given(prompt, node, name)


def _given(prompt: Json, node: Json, name: str) -> Given:
    inputs = node["inputs"]
    if name not in inputs:
        return Given(node["class_type"], name, None)
    text = _text(prompt, name, inputs[name])
    return Given(
        node["class_type"], name, text if len(text) <= MAX_VALUE_CHARACTERS else fingerprint(text)
    )


def _whole(prompt: Json, node: Json) -> Given:
    texts = [f"{name}={_text(prompt, name, value)}" for name, value in node["inputs"].items()]
    return Given(node["class_type"], "", fingerprint("\n".join(sorted(texts))))


def _text(prompt: Json, name: str, value: Any) -> str:
    target = dict(links_of({name: value})).get(name)
    if target is None:
        return json.dumps(value, sort_keys=True)
    # What matters of a link is what comes out there.
    return f"-> {prompt.get(target, {}).get('class_type')} {value[1]}"


def _digest(prompt: Json, whose: str | None) -> str:
    return fingerprint(f"{whose or ''}\n{json.dumps(prompt, sort_keys=True)}")


def _words(given: Given) -> str:
    if not given.input:
        named = cut(given.class_type, SHORT)
        return f"node type {named}" if given.value is None else f"a {named} with these inputs"
    where = f"{cut(given.input, SHORT)} of {cut(given.class_type, SHORT)}"
    return f"{where} left out" if given.value is None else f"{where}: {quoted(given.value)}"
