"""Compute the progress of a task from ComfyUI's events. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from app.comfyui.events import Event, Executed, Executing, ExecutionCached, NodeState, ProgressState
from app.comfyui.events import Progress as Step
from app.limits.json_types import Json
from app.tasks.model import Progress

SAMPLER_STEPS = 20  # assumed for a sampler that has no `steps` input


def weight_of(node: Json) -> int:
    """Return the weight of a node: the steps of a sampler (it has a latent_image), 1 for others.

    Most of a run's time is spent in sampling.
    """
    if "latent_image" not in node["inputs"]:
        return 1
    steps = node["inputs"].get("steps")
    return steps if isinstance(steps, int) and 1 <= steps <= 10_000 else SAMPLER_STEPS


LARGE_WORKFLOW_NODES = 300  # nodes; above this, progress is not recomputed on every event
A_NODE = 50e-6  # seconds per node between two computations; one takes about a twentieth of that
MIN_NODE_SECONDS = 0.001  # minimum weight in seconds, for nodes that took almost no time


def weights_of(prompt: Json, took: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each node from `took`, the seconds per node of an earlier run.

    Nodes that did not run then get the mean. Without earlier times `weight_of` is used.
    """
    if not took:
        return {node_id: weight_of(node) for node_id, node in prompt.items()}
    mean = sum(took.values()) / len(took)
    return {node_id: max(took.get(node_id, mean), MIN_NODE_SECONDS) for node_id in prompt}


def _where(progress: Progress) -> tuple[object, ...]:
    return progress.value, progress.current_node, progress.step


class Tracker:
    """Tracks the progress of one prompt; a node with steps counts in part while it works.

    `took`: seconds per node of an earlier run. `ran`: seconds per node of this run.
    """

    def __init__(
        self,
        prompt: Json,
        progress: Progress | None = None,
        took: Mapping[str, float] | None = None,
    ) -> None:
        self._classes = {node_id: node["class_type"] for node_id, node in prompt.items()}
        self._weights = weights_of(prompt, took or {})
        self._done: set[str] = set()
        self._cached: set[str] = set()
        self._fractions: dict[str, float] = {}
        self._turn: tuple[str, float] | None = None  # the current node and its start
        self._counted_again = 0.0  # time of the next computation for a large workflow
        self._moved: float | None = None  # when the progress last changed
        self.ran: dict[str, float] = {}
        self._progress = self._told = progress or Progress(nodes_total=len(prompt))
        self._is_behind = False  # events were taken whose effect on the progress is not computed
        # From before a restart of the gateway
        for node, seconds in self._progress.node_seconds.items():
            self._done.add(node)
            if seconds is None:
                self._cached.add(node)
            else:
                self.ran[node] = seconds

    @property
    def progress(self) -> Progress:
        return self._count() if self._is_behind else self._progress

    def apply(self, event: Event, now: float = 0.0, *, more: bool = False) -> bool:
        """Apply an event at time `now` in seconds; return whether the progress should be published.

        The cost of a computation grows with the number of nodes, so that large workflows are
        recomputed at intervals only, and others with the last of the events that wait (`more`).
        """
        self._take(event, now)
        if more and len(self._classes) <= LARGE_WORKFLOW_NODES:
            self._is_behind = True
            return False
        if not self._is_time_to_count(now):
            return False
        before, self._told = self._told, self._count()
        if _where(before) != _where(self._told):
            self._moved = now
        return self._told != before

    def still(self, now: float) -> float | None:
        """Return the seconds since the last change of the progress; None if there was none yet."""
        return None if self._moved is None else max(now - self._moved, 0.0)

    def _take(self, event: Event, now: float) -> None:
        if isinstance(event, Executing):
            self._clock(event.display_node or event.node, now)
        match event:
            case ExecutionCached(nodes=nodes):
                self._cached.update(node for node in nodes if node in self._classes)
                self._done |= self._cached
            case ProgressState(nodes=nodes):
                self._take_states(nodes, now)
            case Executed(node=node) if node in self._classes:
                self._done.add(node)
            case Executing(node=str(node)):
                self._turn_to(event.display_node or node)
            case Step(node=str(node)):
                if node in self._classes:
                    self._fractions[node] = event.value / event.max if event.max > 0 else 0.0
                self._turn_to(node, event.value, event.max)

    def _is_time_to_count(self, now: float) -> bool:
        """Return False to leave the computation to a later event."""
        if len(self._classes) <= LARGE_WORKFLOW_NODES:
            return True
        if now < self._counted_again:
            return False
        self._counted_again = now + len(self._classes) * A_NODE
        return True

    def _clock(self, node: str | None, now: float) -> None:
        """Record the time of the previous node and start the clock for `node`."""
        if self._turn is not None:
            before, since = self._turn
            self.ran[before] = self.ran.get(before, 0.0) + now - since
        self._turn = (node, now) if node in self._classes and node is not None else None

    def complete(self) -> Progress:
        """Mark all nodes as done: those that no output needs never run."""
        total = len(self._classes)
        times = self._node_seconds()
        self._is_behind = False
        self._progress = Progress(1.0, nodes_done=total, nodes_total=total, node_seconds=times)
        return self._progress

    def _take_states(self, nodes: dict[str, NodeState], now: float) -> None:
        for node_id, node in nodes.items():
            if node_id not in self._classes:
                continue  # a node that another one expanded into at run time
            if node.state == "finished":
                self._done.add(node_id)
                if self._turn is not None and self._turn[0] == node_id:
                    self._clock(None, now)
            elif node.max > 0:
                self._fractions[node_id] = node.value / node.max

    def _turn_to(self, node: str, step: float | None = None, steps: float | None = None) -> None:
        self._progress = replace(
            self._progress,
            current_node=node,
            class_type=self._classes.get(node),
            step=step,
            steps=steps,
        )

    def _count(self) -> Progress:
        # Cached nodes are no work, neither done nor to do.
        work = {node: self._weights[node] for node in self._weights if node not in self._cached}
        done = sum(weight * self._part_done(node_id) for node_id, weight in work.items())
        value = round(done / (sum(work.values()) or 1), 4)
        self._is_behind = False
        self._progress = replace(
            self._progress,
            # Never decreases: after a re-attach less is known than was published before.
            value=min(max(self._progress.value, value), 1.0),
            nodes_done=max(self._progress.nodes_done, len(self._done)),
            node_seconds=self._node_seconds(),
        )
        return self._progress

    def _node_seconds(self) -> dict[str, float | None]:
        return {
            node: None if node in self._cached else round(self.ran.get(node, 0.0), 3)
            for node in self._classes
            if node in self._done
        }

    def _part_done(self, node_id: str) -> float:
        if node_id in self._done:
            return 1.0
        return min(max(self._fractions.get(node_id, 0.0), 0.0), 1.0)
