"""Node types that live on the page only: the server never hears of them.

Notes and switches of the page itself go without a trace. Others pass a value on: reroutes, and
pairs of set and get nodes, which are wires without a line; both ends hold the same name.
"""

from app.workflows.conversion.model import Node

PRIMITIVE = "PrimitiveNode"
SETTERS = frozenset({"SetNode", "easy setNode"})
GETTERS = frozenset({"GetNode", "easy getNode"})
REROUTES = frozenset({"Reroute", "Reroute (rgthree)"}) | SETTERS
IDLE = frozenset(
    {
        *("Note", "MarkdownNote", "Label (rgthree)", "Bookmark (rgthree)"),
        *("Fast Muter (rgthree)", "Fast Bypasser (rgthree)", "Fast Actions Button (rgthree)"),
        *("Fast Groups Muter (rgthree)", "Fast Groups Bypasser (rgthree)"),
        *("Mute / Bypass Repeater (rgthree)", "Mute / Bypass Relay (rgthree)"),
        *("Node Collector (rgthree)", "Random Unmuter (rgthree)"),
    }
)
# Send what is connected to them to other inputs; see everywhere.py.
EVERYWHERE = frozenset(
    {
        *("Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?"),
        "Prompts Everywhere",
    }
)
VIRTUAL = IDLE | EVERYWHERE | REROUTES | GETTERS | {PRIMITIVE}


def wire_name(node: Node) -> str:
    """The name that a set node and its get nodes share."""
    values = node.values.values() if isinstance(node.values, dict) else node.values
    name = next(iter(values), "")
    return "" if isinstance(name, list | dict) else str(name)
