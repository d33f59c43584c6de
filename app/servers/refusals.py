"""What a server has refused, so that it is not sent there again while another server may take it.

Remembered by value: options, limits, required inputs, input files, node types; until the server
goes offline or reports other node types. A refusal that names no part of the prompt says nothing
about other prompts: it applies to the identical prompt only, for FRESH seconds or until the
server's next success.
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

MAX_REFUSED_VALUES = 10_000  # per server
PROMPTS = 1000  # prompts refused without naming a part
MAX_VALUE_CHARACTERS = 200  # longer values are kept as a digest
FRESH = 60.0  # seconds for which a refusal without a named part applies
MAX_CHECKED_NODES = 1000  # larger prompts are sent without a check
NOTHING = "this prompt"  # subject of a refusal that names no part


class Given(NamedTuple):
    """An input of a node type with a value as JSON; value None: the input is missing.

    With an empty input name it stands for a node with all its inputs or, with value None, for the
    node type itself.
    """

    class_type: str
    input: str
    value: str | None


class Refusals:
    """The refusals of one server.

    `whose` is the name of an API key. A refusal without a named part applies to the same key only,
    as other keys may send other extra data.
    """

    def __init__(self) -> None:
        self._known: BoundedCache[Given, bool] = BoundedCache(MAX_REFUSED_VALUES)
        # Digest -> time of the refusal
        self._unnamed: BoundedCache[str, float] = BoundedCache(PROMPTS)

    def learn(
        self, prompt: Json, node_errors: Json, whose: str | None, class_type: str | None = None
    ) -> None:
        """Record the refusal of a prompt; `class_type` is a missing node type."""
        found = list(_named(prompt, node_errors))
        if class_type is not None:
            found.append(Given(class_type, "", None))
        for given in found:
            self._known.put(given, True)
        if not found:
            self._unnamed.put(_digest(prompt, whose), time.monotonic())

    def known(self, prompt: Json, whose: str | None) -> str | None:
        """Return why the server would refuse the prompt according to earlier refusals, or None."""
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


def shows(prompt: Json, types: NodeTypes) -> str | None:
    """Return why a server with these node types should refuse the prompt, or None.

    This is a prediction; ComfyUI may still accept the prompt.
    """
    if len(prompt) > MAX_CHECKED_NODES:
        return None
    validator = Validator(prompt, types)
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
    """Yield the inputs that a refusal names, and the nodes for which it names no input."""
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
    # Of a link only the type of its source matters.
    return f"-> {prompt.get(target, {}).get('class_type')} {value[1]}"


def _digest(prompt: Json, whose: str | None) -> str:
    return fingerprint(f"{whose or ''}\n{json.dumps(prompt, sort_keys=True)}")


def _words(given: Given) -> str:
    if not given.input:
        named = cut(given.class_type, SHORT)
        return f"node type {named}" if given.value is None else f"a {named} with these inputs"
    where = f"{cut(given.input, SHORT)} of {cut(given.class_type, SHORT)}"
    return f"{where} left out" if given.value is None else f"{where}: {quoted(given.value)}"
