"""Nodes that decide what else runs: they block others, leave some out, or expand into some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fake_comfyui.graph import Graph
from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.values import Blocker


def block(call: Call) -> Result:
    """As custom nodes do with ComfyUI's ExecutionBlocker."""
    if not call.get("block", bool, True):
        return Result((call.pictures(),))
    return Result((Blocker(call.get("message", str, "") or None),))


def switch(call: Call) -> Result:
    return Result((call.inputs.get(_branch(call)),))


def _branch(call: Call) -> str:
    return "on_true" if call.get("switch", bool) else "on_false"


def expand(call: Call) -> Result:
    """A loop: inverts the picture again and again, and saves each."""
    nodes: Graph = {}
    link = call.graph[call.node_id]["inputs"]["image"]
    prefix = f"{call.node_id}.0.0."  # how ComfyUI's own helper names nodes
    for turn in range(call.get("count", int)):
        inverted, saved = f"{prefix}{2 * turn + 1}", f"{prefix}{2 * turn + 2}"
        nodes[inverted] = {"class_type": "ImageInvert", "inputs": {"image": link}}
        link = [inverted, 0]
        nodes[saved] = {"class_type": "PreviewImage", "inputs": {"images": link}}
        if call.get("save", bool):
            nodes[saved]["class_type"] = "SaveImage"
            nodes[saved]["inputs"]["filename_prefix"] = call.get("filename_prefix", str)
    return Result((link,), expand=nodes)


FLOW: Mapping[str, Implementation] = MappingProxyType(
    {"DemoBlocker": block, "DemoExpand": expand, "ComfySwitchNode": switch}
)

# Which of its lazy inputs a node wants, given the others.
LAZY: Mapping[str, Callable[[Call], list[str]]] = MappingProxyType(
    {"ComfySwitchNode": lambda call: [_branch(call)]}
)
