"""ComfyUI's events -> one number and a sentence about how far a task is. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from app.comfyui.events import Event, Executed, Executing, ExecutionCached, NodeState, ProgressState
from app.comfyui.events import Progress as Step
from app.limits.json_types import Json
from app.tasks.model import Progress

SAMPLER_STEPS = 20  # of a sampler that does not name its steps itself


def weight_of(node: Json) -> int:
    """A sampler (whatever takes a latent_image) weighs as much as its steps, all else as one:
    most of a run's time goes by in sampling."""
    if "latent_image" not in node["inputs"]:
        return 1
    steps = node["inputs"].get("steps")
    return steps if isinstance(steps, int) and 1 <= steps <= 10_000 else SAMPLER_STEPS


LARGE_WORKFLOW_NODES = 300  # nodes: a workflow whose progress is not counted with every event
A_NODE = 50e-6  # seconds between two counts, for each node; it takes a twentieth of that
MIN_NODE_SECONDS = 0.001  # seconds: of a node that took no time to speak of


def weights_of(prompt: Json, took: Mapping[str, float]) -> dict[str, float]:
    """How much of a run each node is: what they took last time (seconds by node), if that is
    known of any; nodes that did not run then are expected to take the mean."""
    if not took:
        return {node_id: weight_of(node) for node_id, node in prompt.items()}
    mean = sum(took.values()) / len(took)
    return {node_id: max(took.get(node_id, mean), MIN_NODE_SECONDS) for node_id in prompt}


def _where(progress: Progress) -> tuple[object, ...]:
    return progress.value, progress.current_node, progress.step


class Tracker:
    """Follows one prompt. A node with steps counts in part while it works.

    `took`: what its nodes took last time, in seconds. `ran`: what they have taken this time.
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
        self._turn: tuple[str, float] | None = None  # the node that works, and since when
        self._counted_again = 0.0  # when
        self._moved: float | None = None  # when there was another progress than before
        self.ran: dict[str, float] = {}
        self.progress = self._told = progress or Progress(nodes_total=len(prompt))
        for node, seconds in self.progress.node_seconds.items():  # before we were restarted
            self._done.add(node)
            if seconds is None:
                self._cached.add(node)
            else:
                self.ran[node] = seconds

    def apply(self, event: Event, now: float = 0.0) -> bool:
        """Take an event in, at a time in seconds; True if the progress is another one than when
        this was True last.

        To count takes as long as there are nodes: of a large workflow it is done now and then."""
        self._take(event, now)
        if not self._is_time_to_count(now):
            return False
        before, self._told = self._told, self._count()
        if _where(before) != _where(self._told):
            self._moved = now
        return self._told != before

    def still(self, now: float) -> float | None:
        """Seconds without another progress; None as long as no event told of any."""
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
        """If not, the next event tells of this one, too."""
        if len(self._classes) <= LARGE_WORKFLOW_NODES:
            return True
        if now < self._counted_again:
            return False
        self._counted_again = now + len(self._classes) * A_NODE
        return True

    def _clock(self, node: str | None, now: float) -> None:
        """The time of the node that worked until now is over."""
        if self._turn is not None:
            before, since = self._turn
            self.ran[before] = self.ran.get(before, 0.0) + now - since
        self._turn = (node, now) if node in self._classes and node is not None else None

    def complete(self) -> Progress:
        """All is done: nodes that no output needed have not run and never will."""
        total = len(self._classes)
        times = self._node_seconds()
        self.progress = Progress(1.0, nodes_done=total, nodes_total=total, node_seconds=times)
        return self.progress

    def _take_states(self, nodes: dict[str, NodeState], now: float) -> None:
        for node_id, node in nodes.items():
            if node_id not in self._classes:
                continue  # a node that another one expanded into while running
            if node.state == "finished":
                self._done.add(node_id)
                if self._turn is not None and self._turn[0] == node_id:
                    self._clock(None, now)
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

    def _count(self) -> Progress:
        # What comes from the cache is no work, neither done nor to do.
        work = {node: self._weights[node] for node in self._weights if node not in self._cached}
        done = sum(weight * self._part_done(node_id) for node_id, weight in work.items())
        value = round(done / (sum(work.values()) or 1), 4)
        self.progress = replace(
            self.progress,
            # Never backwards: after a re-attach we know less than what was shown before.
            value=min(max(self.progress.value, value), 1.0),
            nodes_done=max(self.progress.nodes_done, len(self._done)),
            node_seconds=self._node_seconds(),
        )
        return self.progress

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
