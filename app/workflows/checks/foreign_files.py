"""Detection of values in a prompt that may name files of other users on a server. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import InvalidWorkflow
from app.files.staged_names import folder_named, is_absolute, is_short_for_one, leads_out, tags_in
from app.limits.json_types import Json
from app.workflows.checks.prompt import fault
from app.workflows.parameters.apply import Change
from app.workflows.parameters.model import choices_of, definition_of, names_file

# "placed" and "short": may be the staged upload of another user; "elsewhere" and "path": a result
# or another file of the machine; "made": a name that a node computes, known to the server only.
Sort = Literal["placed", "short", "elsewhere", "path", "made"]
# Nodes whose output text appears verbatim in the prompt.
_LITERAL = {
    *("PrimitiveString", "PrimitiveStringMultiline", "PrimitiveNode", "CustomCombo"),
    *("PrimitiveBoolean", "PrimitiveInt", "PrimitiveFloat", "ComfySwitchNode", "Reroute"),
}

# Every suspect has one: of a staged name, of a folder at its end, of a path
_MARKS = re.compile(r"gw-|\]$|[/\\~:]|\.\.", re.IGNORECASE)


_WITH_TEXTS = (dict, list)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A text in a node's input that may name the file of another user."""

    node_id: str
    class_type: str
    input: str
    text: str
    sort: Sort


def suspects_in(
    prompt: Json, changes: Iterable[Change], object_info: Mapping[str, Json]
) -> list[Suspect]:
    """Return all suspects in a checked prompt and in the changes to be applied to it."""
    found: list[Suspect] = []
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                if not _MARKS.search(value):
                    continue
            elif not isinstance(value, _WITH_TEXTS):
                continue
            found += _suspects(node_id, node, name, value, object_info)
            if _is_link(value, prompt) and names_file(node, name, object_info):
                found += _made(prompt, node_id, name)
    for node_id, name, value in changes:
        found += _suspects(node_id, prompt[node_id], name, value, object_info)
    return found


def _suspects(
    node_id: str, node: Json, name: str, value: Any, object_info: Mapping[str, Json]
) -> Iterator[Suspect]:
    for text in _texts(value):
        if sort := _sort_of(text, node, name, object_info):
            yield Suspect(node_id, str(node["class_type"]), name, text, sort)


def _is_link(value: Any, prompt: Json) -> bool:
    return isinstance(value, list) and len(value) == 2 and str(value[0]) in prompt


def _made(prompt: Json, node_id: str, name: str) -> Iterator[Suspect]:
    """Yield the first node upstream of a file input that may compute a name."""
    stack, seen = [prompt[node_id]["inputs"][name]], set[str]()
    while stack:
        source = str(stack.pop()[0])
        if source in seen:
            continue
        seen.add(source)
        class_type = str(prompt[source]["class_type"])
        if class_type not in _LITERAL:
            yield Suspect(node_id, str(prompt[node_id]["class_type"]), name, class_type, "made")
            return
        stack += [value for value in prompt[source]["inputs"].values() if _is_link(value, prompt)]


def _sort_of(text: str, node: Json, name: str, object_info: Mapping[str, Json]) -> Sort | None:
    if not _MARKS.search(text):
        return None
    if tags_in(text):
        return "placed"
    elsewhere = folder_named(text) in ("output", "temp")
    if elsewhere and _is_like_a_file(text):
        return "elsewhere"
    if not (elsewhere or leads_out(text) or is_absolute(text) or is_short_for_one(text)):
        return None
    if not names_file(node, name, object_info):
        return None
    if is_absolute(text) and choices_of(definition_of(node, name, object_info)) is not None:
        return "path"  # not for inputs that are meant to be a path
    return "elsewhere" if elsewhere or leads_out(text) else "short"


def _is_like_a_file(text: str) -> bool:
    """Return whether a text that ends in "[output]" is a file name: it has a suffix."""
    stem = text[: text.rindex("[") - 1]
    return "\n" not in stem and stem[-6:].rfind(".") >= 0


def _texts(value: Any) -> Iterator[str]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def refusal(suspect: Suspect) -> InvalidWorkflow:
    """Return the error for a suspect."""
    if suspect.sort == "path":
        what = "names a path on a server's disk, which is not there on every server"
        hint = "POST /api/image/upload keeps a file; use the name in its answer, or send its bytes."
    elif suspect.sort == "made":
        what = f"gets its name from {suspect.text}, which may name any file"
        hint = "Set the name itself, in the workflow or in params."
    elif suspect.sort == "elsewhere":
        what = "names a file outside of the inputs, where everybody's are"
        hint = "Send it as an upload: by its URL in params, or with POST /api/image/upload."
    else:
        what = "names a file that is no upload of yours"
        hint = "POST /api/image/upload keeps a file; use the name in its answer."
    message = f"Input {suspect.input!r} {what}."
    found = {
        "class_type": suspect.class_type,
        "errors": [fault("foreign_file", message, suspect.input)],
    }
    return InvalidWorkflow(
        f"Node {suspect.node_id!r}: {message}", hint=hint, node_errors={suspect.node_id: found}
    )
