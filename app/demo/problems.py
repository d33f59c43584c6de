"""The shapes of the errors that POST /prompt answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Problem = dict[str, Any]


def problem(kind: str, message: str, details: str = "", **extra: Any) -> Problem:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def no_prompt() -> Problem:
    return problem("no_prompt", "No prompt provided", "No prompt provided")


def invalid_prompt_id() -> Problem:
    details = "a lower-case UUID with hyphens is needed; without one the server makes its own"
    return problem("invalid_prompt_id", "prompt_id must be a valid UUID", details)


def missing_node_type(kind: str, node_id: str, node: dict[str, Any]) -> Problem:
    class_type = node.get("class_type")
    title = (node.get("_meta") or {}).get("title") or class_type
    message = f"Node type of '{title}' is unknown here" if title else f"Node {node_id} has no type"
    details = f"Node ID '#{node_id}'"
    return problem(kind, message, details, node_id=node_id, class_type=class_type, node_title=title)


def no_outputs() -> Problem:
    return problem("prompt_no_outputs", "Prompt has no outputs")


def outputs_failed() -> Problem:
    return problem("prompt_outputs_failed_validation", "Prompt outputs failed validation")


def required_input_missing(name: str) -> Problem:
    return problem("required_input_missing", "Required input is missing", name, input_name=name)


def bad_linked_input(name: str, raw: Any, value: Any) -> Problem:
    message = "Bad linked input: a link is [node_id, slot_index]"
    return problem("bad_linked_input", message, name, **_about(name, raw), received_value=value)


def return_type_mismatch(name: str, raw: Any, received: str, link: list[Any]) -> Problem:
    details = f"{name}, received_type({received}) mismatch input_type({raw[0]})"
    message = "Return type mismatch between linked nodes"
    about = _about(name, raw)
    return problem(
        "return_type_mismatch", message, details, **about, received_type=received, linked_node=link
    )


def invalid_input_type(name: str, raw: Any, value: Any, error: Exception) -> Problem:
    message = f"Failed to convert an input value to a {raw[0]} value"
    details = f"{name}, {value}, {error}"
    extra = {**_about(name, raw), "received_value": value, "exception_message": str(error)}
    return problem("invalid_input_type", message, details, **extra)


def out_of_range(kind: str, name: str, raw: Any, value: Any, limit: Any) -> Problem:
    words = "smaller than min" if kind == "value_smaller_than_min" else "bigger than max"
    message = f"Value {value} {words} of {limit}"
    return problem(kind, message, name, **_about(name, raw), received_value=value)


def value_not_in_list(name: str, raw: Any, value: Any, choices: Sequence[Any]) -> Problem:
    long = len(choices) > 20  # long lists are not repeated in the error
    listed = f"(list of length {len(choices)})" if long else str(list(choices))
    extra = {
        "input_name": name,
        "input_config": None if long else list(raw),
        "received_value": value,
    }
    details = f"{name}: '{value}' not in {listed}"
    return problem("value_not_in_list", "Value not in list", details, **extra)


def missing_file(name: str, file: Any) -> Problem:
    details = f"{name} - Invalid image file: {file}"
    message = "Custom validation failed for node"
    return problem("custom_validation_failed", message, details, input_name=name)


def inner_exception(name: str, raw: Any, link: list[Any], error: Exception) -> Problem:
    """The node behind `link` could not be looked at; kept with that node, not with the input's."""
    extra = {
        **_about(name, raw),
        "exception_message": str(error),
        "exception_type": type(error).__name__,
        "traceback": ["demo server: the linked node cannot be validated\n"],
        "linked_node": link,
    }
    message = "Exception when validating inner node"
    return problem("exception_during_inner_validation", message, str(error), **extra)


def outer_exception(error: Exception) -> Problem:
    extra = {
        "exception_type": type(error).__name__,
        "traceback": ["demo server: the output node cannot be validated\n"],
    }
    message = "Exception when validating node"
    return problem("exception_during_validation", message, str(error), **extra)


def dependency_cycle(node_id: str, nodes: list[str], path: str) -> Problem:
    return problem(
        "dependency_cycle", "Dependency cycle detected", path, node_id=node_id, cycle_nodes=nodes
    )


def _about(name: str, raw: Any) -> dict[str, Any]:
    return {"input_name": name, "input_config": list(raw)}
