"""What a prompt says while it runs, and what its history keeps of that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from fake_comfyui.growing import GrowingGraph
from fake_comfyui.order import Order
from fake_comfyui.sockets import Hub


@dataclass(slots=True)
class Outcome:
    """How a prompt ended: what the history keeps of it."""

    status_str: str = "success"
    ending: str = "success"
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        status = {
            "status_str": self.status_str,
            "completed": self.status_str == "success",
            "messages": self.messages,
        }
        return {"outputs": self.outputs, "status": status, "meta": self.meta}


class Story:
    """The messages of one prompt."""

    def __init__(self, prompt_id: str, graph: GrowingGraph, hub: Hub, order: Order) -> None:
        self._prompt_id = prompt_id
        self._graph = graph
        self._hub = hub
        self._order = order
        self.executed: list[str] = []
        self.outcome = Outcome()

    def message(self, event: str, data: dict[str, Any], *, for_all: bool = False) -> None:
        """An execution_* message: with a timestamp, and kept in the history."""
        data = {"prompt_id": self._prompt_id, **data}
        data["timestamp"] = int(time.time() * 1000)
        self.outcome.messages.append((event, data))
        if for_all:
            self._hub.publish_event(event, data)
        else:
            self._hub.send(event, data)

    def send(self, event: str, data: dict[str, Any]) -> None:
        self._hub.send(event, {**data, "prompt_id": self._prompt_id})

    def executing(self, node_id: str) -> None:
        self._hub.last_node = self._graph.real(node_id)
        self.send("executing", {"node": node_id, "display_node": self._graph.real(node_id)})

    def show(self, node_id: str, ui: dict[str, Any] | None, meta: dict[str, Any]) -> None:
        """`meta`: that of the node that made it, which a cached one need not be."""
        shown = {"node": node_id, "display_node": self._graph.real(node_id), "output": ui}
        self.send("executed", shown)
        if ui is not None:
            self.outcome.outputs[node_id] = ui
            self.outcome.meta[node_id] = meta

    def blocked(self, node_id: str, message: str) -> None:
        """Told over the socket only."""
        data = self._error(node_id, "ExecutionBlocked", f"Execution Blocked: {message}")
        self.send("execution_error", data)

    # --- how it ends -----------------------------------------------------------------------

    def interrupted(self, node_id: str) -> None:
        self.outcome.status_str, self.outcome.ending = "error", "interrupted"
        self.message("execution_interrupted", self._of(self._graph.real(node_id)), for_all=True)

    def failed(self, node_id: str, inputs: dict[str, Any], kind: str, message: str) -> None:
        """A node that came out of another one is the other one's fault."""
        self.outcome.status_str, self.outcome.ending = "error", "error"
        class_type = self._graph[node_id]["class_type"]
        trace = f"  demo server, node {node_id} ({class_type})\n    {kind}: {message}\n"
        data = self._error(self._graph.real(node_id), kind, f"{message}\n")
        data["traceback"] = [trace]
        data["current_inputs"] = {name: [_printable(value)] for name, value in inputs.items()}
        data["current_outputs"] = self._order(self._graph.original)
        self.message("execution_error", data)

    def cycle(self, left: list[str]) -> None:
        """Found only at run time, a cycle leaves an error in a history that says success. Blamed is
        the first node that came out of another one, else the first."""
        kind = "graph.DependencyCycleError"
        self.outcome.ending = "error"
        blamed = next((node for node in left if self._graph.real(node) != node), left[0])
        data = self._error(self._graph.real(blamed), kind, "Dependency cycle detected")
        data["current_outputs"] = self._order(self._graph.original)
        self.message("execution_error", data)

    def _of(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": self._order(self.executed),
        }

    def _error(self, node_id: str, kind: str, message: str) -> dict[str, Any]:
        return {
            **self._of(node_id),
            "exception_message": message,
            "exception_type": kind,
            "traceback": [],
            "current_inputs": [],
            "current_outputs": [],
        }


def _printable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
