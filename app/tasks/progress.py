"""ComfyUI's events -> one number and a sentence about how far a task is. Pure."""

from dataclasses import replace

from app.comfyui.events import (
    Event,
    Executed,
    Executing,
    ExecutionCached,
    NodeState,
    ProgressState,
)
from app.comfyui.events import Progress as Step
from app.tasks.model import Json, Progress

SAMPLER_STEPS = 20  # of a sampler that does not name its steps itself


def weight_of(node: Json) -> int:
    """A sampler (whatever takes a latent_image) weighs as much as its steps, all else as one:
    most of a run's time goes by in sampling."""
    if "latent_image" not in node["inputs"]:
        return 1
    steps = node["inputs"].get("steps")
    return steps if isinstance(steps, int) and 1 <= steps <= 10_000 else SAMPLER_STEPS


class Tracker:
    """Follows one prompt. A node with steps counts in part while it works."""

    def __init__(self, prompt: Json, progress: Progress | None = None) -> None:
        self._classes = {node_id: node["class_type"] for node_id, node in prompt.items()}
        self._weights = {node_id: weight_of(node) for node_id, node in prompt.items()}
        self._done: set[str] = set()
        self._fractions: dict[str, float] = {}
        self.progress = progress or Progress(nodes_total=len(prompt))

    def apply(self, event: Event) -> bool:
        """Take an event in; True if the progress shown is another one now."""
        before = self.progress
        match event:
            case ExecutionCached(nodes=nodes):
                self._done.update(node for node in nodes if node in self._classes)
            case ProgressState(nodes=nodes):
                self._take_states(nodes)
            case Executed(node=node) if node in self._classes:
                self._done.add(node)
            case Executing(node=str(node)):
                self._turn_to(event.display_node or node)
            case Step(node=str(node)):
                self._fractions[node] = event.value / event.max if event.max > 0 else 0.0
                self._turn_to(node, event.value, event.max)
        self._count()
        return self.progress != before

    def complete(self) -> Progress:
        """All is done: nodes that no output needed have not run and never will."""
        total = len(self._classes)
        self.progress = Progress(value=1.0, nodes_done=total, nodes_total=total)
        return self.progress

    def _take_states(self, nodes: dict[str, NodeState]) -> None:
        for node_id, node in nodes.items():
            if node_id not in self._classes:
                continue  # a node that another one expanded into while running
            if node.state == "finished":
                self._done.add(node_id)
            elif node.max > 0:
                self._fractions[node_id] = node.value / node.max

    def _turn_to(self, node: str, step: float | None = None, steps: float | None = None) -> None:
        self.progress = replace(
            self.progress,
            current_node=node,
            class_type=self._classes.get(node),
            step=step,
            steps=steps,
        )

    def _count(self) -> None:
        done = sum(weight * self._part_done(node_id) for node_id, weight in self._weights.items())
        value = round(done / (sum(self._weights.values()) or 1), 4)
        self.progress = replace(
            self.progress,
            # Never backwards: after a re-attach we know less than what was shown before.
            value=min(max(self.progress.value, value), 1.0),
            nodes_done=max(self.progress.nodes_done, len(self._done)),
        )

    def _part_done(self, node_id: str) -> float:
        if node_id in self._done:
            return 1.0
        return min(max(self._fractions.get(node_id, 0.0), 0.0), 1.0)
