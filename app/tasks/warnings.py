"""Warnings about successful runs. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.comfyui.events import ExecutionError
from app.comfyui.history import HistoryEntry
from app.limits.json_types import Json
from app.limits.quoting import SHORT, cut
from app.workflows.parameters.seeds import Seeds

BLOCKED = "ExecutionBlocked"  # ComfyUI's exception_type of a node that was blocked by another one
_PREFIX = "Execution Blocked: "
_REPEATED = (
    "All of it came from ComfyUI's cache, of an equal run before: these are its results once more. "
)
REPEATED = _REPEATED + 'For new ones submit it with "randomize": true, or with a seed of -1.'
REPEATED_SEEDLESS = _REPEATED + "It has no seed: for other ones change a value in it."
BLOCKED_ALL = "what should have saved some was blocked."
NONE_OF_NODE = "results of nodes that others expand into (loops) are not told twice."
MAX_NAMED_TYPES = 5  # maximum node types that are listed


def may_be_stuck(server_id: str, said: str) -> str:
    return (
        f"{server_id} may be stuck: {said}. Restart it, or cancel the task and retry it elsewhere."
    )


def blocked(event: ExecutionError) -> str | None:
    """Return a warning for a blocked node; None for an error that ends the run.

    Blocked nodes are reported as events only; the history does not have them.
    """
    if event.exception_type.rpartition(".")[2] != BLOCKED:
        return None
    reason = event.exception_message.removeprefix(_PREFIX) or "no reason is given"
    node = f"Node {event.node_id}" + (f" ({event.node_type})" if event.node_type else "")
    return f"{node} did not run, it was blocked: {reason}"


def remarks_on(
    prompt: Json,
    entry: HistoryEntry,
    outputs: Collection[Any],
    node_types: Mapping[str, Json],
    *,
    was_blocked: bool = False,
) -> list[str]:
    """Return the warnings for a run without an error.

    `outputs`: its results, fetched or not. `was_blocked`: a warning about a blocked node exists.
    """
    savers = [node_id for node_id, node in prompt.items() if _saves(node, node_types)]
    # Nodes behind a cached output node do not run, whether they are cached or not.
    repeated = bool(entry.cached) and entry.cached.issuperset(savers or prompt)
    said = [_repeated(prompt, node_types)] if repeated else []
    if not outputs:
        told = [node for node in entry.outputs if node in prompt and entry.outputs[node]]
        why = BLOCKED_ALL if was_blocked else _why(prompt, savers, told, repeated=repeated)
        said.append(f"The run yielded no results: {why}")
    elif silent := [node for node in savers if node in entry.cached and node not in entry.outputs]:
        said.append(f"{_untold(prompt, silent)} A changed value of such a node makes them anew.")
    return said


def _repeated(prompt: Json, node_types: Mapping[str, Json]) -> str:
    return REPEATED if Seeds(prompt, node_types).to_renew(None) else REPEATED_SEEDLESS


def _why(prompt: Json, savers: Sequence[str], told: Sequence[str], *, repeated: bool) -> str:
    """Return why a task has no results; `told`: the nodes with an output in the history."""
    if told:
        return f"what ComfyUI told of {_classes(prompt, told)} is no file, and no text to keep."
    if repeated:
        return _untold(prompt, savers)
    names = _classes(prompt, savers) if savers else "its nodes"
    return (
        f"ComfyUI told none of {names}. Either a node before was blocked, or what was saved is "
        "on the server only: nodes such as VAESave tell no file names."
    )


def _untold(prompt: Json, savers: Sequence[str]) -> str:
    names = _classes(prompt, savers) if savers else "its nodes"
    return f"ComfyUI told none of {names} from its cache; {NONE_OF_NODE}"


def _classes(prompt: Json, node_ids: Sequence[str]) -> str:
    found = list(dict.fromkeys(str(prompt[node_id]["class_type"]) for node_id in node_ids))
    more = f" and {len(found) - MAX_NAMED_TYPES} more" if len(found) > MAX_NAMED_TYPES else ""
    return ", ".join(cut(name, SHORT) for name in found[:MAX_NAMED_TYPES]) + more


def _saves(node: Json, node_types: Mapping[str, Json]) -> bool:
    return bool(node_types.get(node["class_type"], {}).get("output_node"))
