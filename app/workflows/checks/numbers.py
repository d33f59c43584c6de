"""Refusal of texts that ComfyUI would parse as infinite or NaN. Pure.

ComfyUI parses the text of a FLOAT like Python: "inf", "nan" and "1e999" are numbers, and pass the
limits of an input if it has none (NaN always does). No node expects them, and the server's answers
about such a prompt are not valid JSON.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from app.errors import InvalidWorkflow
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.workflows.checks.prompt import MAX_FAULTS, fault, needed_by_outputs
from app.workflows.parameters.model import definition_of, unwrapped

FINITE = "Send a finite number: floats end at about 1.8e308."


def check_numbers(prompt: Json, object_info: Mapping[str, Json]) -> None:
    """Raise InvalidWorkflow, with node_errors, for such texts in a checked prompt.

    Only nodes that an output needs are checked, as in ComfyUI.
    """
    endless = {node_id for node_id, node in prompt.items() if any(_faults(node, object_info))}
    needed = needed_by_outputs(prompt, object_info) if endless else ()
    faulty = [node_id for node_id in needed if node_id in endless]
    errors: Json = {
        node_id: {
            "class_type": prompt[node_id]["class_type"],
            "errors": list(_faults(prompt[node_id], object_info)),
        }
        for node_id in faulty[:MAX_FAULTS]
    }
    if errors:
        node_id, first = next(iter(errors.items()))
        raise InvalidWorkflow(
            f"Node {quoted(node_id)}: {first['errors'][0]['message']}",
            hint=FINITE,
            node_errors=errors,
            omitted={"node_errors": len(faulty) - len(errors)},
        )


def _faults(node: Json, object_info: Mapping[str, Json]) -> Iterator[Json]:
    for name, value in node["inputs"].items():
        text = unwrapped(value) if isinstance(value, dict) else value
        if not isinstance(text, str) or not is_endless(text):
            continue
        definition = definition_of(node, name, object_info)
        if definition and definition[0] in ("FLOAT", "INT"):
            message = f"Input {quoted(name)} must be a finite number; {quoted(value)} is none."
            yield fault("not_finite", message, name)


def is_endless(value: Any) -> bool:
    """Return whether Python parses the text as an infinity or NaN."""
    if not isinstance(value, str):
        return False
    with suppress(ValueError):
        return not math.isfinite(float(value))
    return False
