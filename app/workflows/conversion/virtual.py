"""Node types that exist in the page only and are never sent to the server.

Notes and switches have no effect. Others pass a value on: reroutes, and pairs of set and get nodes
with a common name, which replace a link.
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
# These send their inputs to other nodes; see everywhere.py.
EVERYWHERE = frozenset(
    {
        *("Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?"),
        "Prompts Everywhere",
    }
)
VIRTUAL = IDLE | EVERYWHERE | REROUTES | GETTERS | {PRIMITIVE}


def wire_name(node: Node) -> str:
    """Return the name shared by a set node and its get nodes."""
    values = node.values.values() if isinstance(node.values, dict) else node.values
    name = next(iter(values), "")
    return "" if isinstance(name, list | dict) else str(name)
