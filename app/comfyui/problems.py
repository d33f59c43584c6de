"""The errors that ComfyUI's POST /prompt answers, in its format and words. Pure."""

from collections.abc import Sequence
from typing import Any

from app.comfyui.inputs import Input

Problem = dict[str, Any]


def problem(kind: str, message: str, details: str = "", **extra: Any) -> Problem:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def no_prompt() -> Problem:
    return problem("no_prompt", "No prompt provided", "No prompt provided")


def invalid_prompt_id() -> Problem:
    details = (
        "prompt_id must be a UUID string in canonical lowercase hyphenated form; "
        "omit it to let the server generate one"
    )
    return problem("invalid_prompt_id", "prompt_id must be a valid UUID", details)


def missing_node_type(kind: str, node_id: str, node: dict[str, Any]) -> Problem:
    """Return the error for a missing node type; `kind` is `invalid_prompt` in older servers."""
    class_type, details = node.get("class_type"), f"Node ID '#{node_id}'"
    if kind == "invalid_prompt":
        what = f"node {class_type} does not exist"
        if class_type is None:
            what = "a node is missing the class_type property"
        return problem(kind, f"Cannot execute because {what}.", details)
    title = (node.get("_meta") or {}).get("title") or class_type
    message = f"Node '{title}' not found. The custom node may not be installed."
    if class_type is None:
        where = title or f"ID #{node_id}"
        why = "The workflow may be corrupted or a custom node is missing."
        message = f"Node '{where}' has no class_type. {why}"
    return problem(kind, message, details, node_id=node_id, class_type=class_type, node_title=title)


def no_outputs() -> Problem:
    return problem("prompt_no_outputs", "Prompt has no outputs")


def outputs_failed(details: str) -> Problem:
    """Return the error for all outputs; `details`: the errors of the output nodes, one per line."""
    return problem("prompt_outputs_failed_validation", "Prompt outputs failed validation", details)


MOST_LISTED = 20  # choices; ComfyUI does not list more


def required_input_missing(found: Input) -> Problem:
    details = found.name.rpartition(".")[2] if found.nested else found.name
    message = "Required input is missing"
    return problem("required_input_missing", message, details, input_name=found.name)


def bad_linked_input(found: Input, value: Any) -> Problem:
    message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
    about = _about(found)
    return problem("bad_linked_input", message, found.name, **about, received_value=value)


def return_type_mismatch(found: Input, received: Any, link: list[Any]) -> Problem:
    details = f"{found.name}, received_type({received}) mismatch input_type({found.kind})"
    message = "Return type mismatch between linked nodes"
    more = {**_about(found), "received_type": received, "linked_node": link}
    return problem("return_type_mismatch", message, details, **more)


def invalid_input_type(found: Input, value: Any, error: Exception) -> Problem:
    message = f"Failed to convert an input value to a {found.kind} value"
    details = f"{found.name}, {value}, {error}"
    extra = {**_about(found), "received_value": value, "exception_message": str(error)}
    return problem("invalid_input_type", message, details, **extra)


def out_of_range(kind: str, found: Input, value: Any, limit: Any) -> Problem:
    """`kind`: value_smaller_than_min or value_bigger_than_max."""
    words = "smaller than min" if kind == "value_smaller_than_min" else "bigger than max"
    message = f"Value {value} {words} of {limit}"
    return problem(kind, message, found.name, **_about(found), received_value=value)


def value_not_in_list(
    found: Input, value: Any, wrong: Sequence[Any], choices: Sequence[Any]
) -> Problem:
    """`wrong`: the value, or those of several values that are no choices."""
    long = len(choices) > MOST_LISTED
    listed = f"(list of length {len(choices)})" if long else str(list(choices))
    details = f"{found.name}: {', '.join(map(repr, wrong))} not in {listed}"
    extra = {
        "input_name": found.name,
        "input_config": None if long else found.config,
        "received_value": value,
    }
    return problem("value_not_in_list", "Value not in list", details, **extra)


def custom_validation_failed(name: str, reason: str) -> Problem:
    """Return the error for an input that the class's own validation rejects."""
    message = "Custom validation failed for node"
    details = f"{name} - {reason}"
    return problem("custom_validation_failed", message, details, input_name=name)


def inner_exception(found: Input, link: list[Any], error: Exception) -> Problem:
    """Return the error of the node behind `link` if its validation raised an exception."""
    extra = {
        **_about(found),
        "exception_message": str(error),
        "exception_type": type(error).__name__,
        "traceback": [],
        "linked_node": link,
    }
    message = "Exception when validating inner node"
    return problem("exception_during_inner_validation", message, str(error), **extra)


def outer_exception(error: Exception) -> Problem:
    extra = {"exception_type": type(error).__name__, "traceback": []}
    message = "Exception when validating node"
    return problem("exception_during_validation", message, str(error), **extra)


def dependency_cycle(node_id: str, nodes: list[str], path: str) -> Problem:
    extra = {"node_id": node_id, "cycle_nodes": nodes}
    return problem("dependency_cycle", "Dependency cycle detected", path, **extra)


def _about(found: Input) -> dict[str, Any]:
    return {"input_name": found.name, "input_config": found.config}
