"""What a server has refused, so that the same is not sent there again while another may take it.

Remembered by values: options, limits, inputs that are required there, input files. Forgotten when
the server goes away, or tells other node types than before.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from app.comfyui.inputs import NodeTypes
from app.comfyui.validation import TooDeep, Validator
from app.memory import Memory
from app.quoting import SHORT, cut, quoted
from app.workflows.checks import links_of
from app.workflows.needs import fingerprint

Json = dict[str, Any]

MOST = 10_000  # values of one server
LONG = 200  # characters of a value beyond which its digest is kept
FRESH = 60.0  # seconds in which a server that refused a value is not asked once more
LARGE = 1000  # nodes of a prompt that is not checked here before it is sent


class Given(NamedTuple):
    """An input of a node type with a value as JSON; None: the input is left out. Of a refusal that
    names no input the shape of the prompt, for no node type."""

    class_type: str
    input: str
    value: str | None


class Refusals:
    """Of one server."""

    def __init__(self) -> None:
        self._known: Memory[Given, float] = Memory(MOST)  # and when

    def learn(self, prompt: Json, node_errors: Json, shape: str) -> str:
        """Take in why a prompt was refused; answers it in a few words."""
        found = list(_named(prompt, node_errors)) or [Given("", "", shape)]
        for given in found:
            self._known.put(given, time.monotonic())
        return _words(found[0])

    def known(self, prompt: Json, shape: str, *, fresh: bool = False) -> str | None:
        """Why it would refuse such a prompt, as far as it did before; `fresh`: just now."""
        since = time.monotonic() - FRESH if fresh else 0.0
        for given in _all(prompt, shape) if len(self._known) else ():
            if (at := self._known.get(given)) is not None and at >= since:
                return _words(given)
        absent = self._absent(prompt, since)
        return _words(absent) if absent else None

    def _absent(self, prompt: Json, since: float) -> Given | None:
        classes = {node["class_type"] for node in prompt.values()}
        for given, at in self._known.items():
            if given.value is None and at >= since and given.class_type in classes:
                for node in prompt.values():
                    if node["class_type"] == given.class_type and given.input not in node["inputs"]:
                        return given
        return None

    def forget(self) -> None:
        self._known.clear()


def shows(prompt: Json, node_types: Json) -> str | None:
    """Why a server with these node types (its object_info) should refuse the prompt; None if
    nothing speaks for it. It may take it all the same: ComfyUI is the judge."""
    if len(prompt) > LARGE:
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
    """The inputs that a refusal names."""
    for node_id, faults in node_errors.items():
        node = prompt.get(node_id)
        for fault in faults.get("errors", ()) if node else ():
            extra = fault.get("extra_info")
            name = extra.get("input_name") if isinstance(extra, dict) else None
            if node and isinstance(name, str):
                yield _given(prompt, node, name)


def _all(prompt: Json, shape: str) -> Iterator[Given]:
    yield Given("", "", shape)
    for node in prompt.values():
        for name in node["inputs"]:
            yield _given(prompt, node, name)


def _given(prompt: Json, node: Json, name: str) -> Given:
    inputs = node["inputs"]
    if name not in inputs:
        return Given(node["class_type"], name, None)
    value = inputs[name]
    target = dict(links_of({name: value})).get(name)
    if target is not None:  # what matters of a link is what comes out there
        source = prompt.get(target, {}).get("class_type")
        return Given(node["class_type"], name, f"-> {source} {value[1]}")
    text = json.dumps(value, sort_keys=True)
    return Given(node["class_type"], name, text if len(text) <= LONG else fingerprint(text))


def _words(given: Given) -> str:
    if not given.class_type:
        return "prompts like this one"
    where = f"{cut(given.input, SHORT)} of {cut(given.class_type, SHORT)}"
    return f"{where} left out" if given.value is None else f"{where}: {quoted(given.value)}"
