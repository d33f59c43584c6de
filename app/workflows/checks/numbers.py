"""Texts that stand for numbers no JSON has: refused where a graph names them. Pure.

ComfyUI reads the text of a FLOAT as Python does: "inf", "nan" and "1e999" are numbers to it, which
its own limits let pass where there are none (and NaN everywhere). No node means them, and what a
server then says of the prompt is no JSON.
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
    """Raises InvalidWorkflow, with node_errors by node, for such texts in a checked prompt, at
    nodes that an output needs: ComfyUI looks at no others."""
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
        if not is_endless(unwrapped(value)):
            continue
        definition = definition_of(node, name, object_info)
        if definition and definition[0] in ("FLOAT", "INT"):
            message = f"Input {quoted(name)} must be a finite number; {quoted(value)} is none."
            yield fault("not_finite", message, name)


def is_endless(value: Any) -> bool:
    """Whether Python reads an infinity, or no number at all (NaN), in this text."""
    if not isinstance(value, str):
        return False
    with suppress(ValueError):
        return not math.isfinite(float(value))
    return False
