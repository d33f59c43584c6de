"""Runs one prompt: its nodes in order, their events, and the node cache."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

from fake_comfyui.catalogue import IMAGE_LOADERS, NodeSpec
from fake_comfyui.engine import CachedNode, Engine
from fake_comfyui.graph import cache_keys, inputs_of, is_link
from fake_comfyui.growing import GrowingGraph
from fake_comfyui.nodes import Call, NodeFailure, Result, implementation, wanted
from fake_comfyui.nodes.values import Blocker
from fake_comfyui.plan import Plan
from fake_comfyui.progress import ProgressState
from fake_comfyui.queue import QueueItem
from fake_comfyui.reporter import Interrupted, Studio
from fake_comfyui.story import Outcome, Story

log = logging.getLogger(__name__)

_NEVER_CACHED = frozenset({"SaveImageWebsocket"})


class Run:
    """One prompt being executed."""

    def __init__(self, item: QueueItem, engine: Engine) -> None:
        self._item = item
        self._engine = engine
        self._graph = GrowingGraph(item.graph)
        self._hub = engine.hub
        self._progress = ProgressState(item.prompt_id, self._graph.origin)
        self._studio = Studio(item, self._progress, self._graph, engine)
        self._story = Story(item.prompt_id, self._graph, engine.hub, engine.order)
        self._keys = cache_keys(item.graph, self._salt)
        self._results: dict[str, Result] = {}
        self._expanded: dict[str, Result] = {}
        self._plan = Plan(self._graph, self._has_result, self._is_output, self._is_lazy)

    async def execute(self) -> Outcome:
        """Run to the end. Raises MissingNode, which kills the real server's worker."""
        story, engine = self._story, self._engine
        story.message("execution_start", {})
        kept = set(self._keys.values())
        engine.cache = {key: node for key, node in engine.cache.items() if _outer(key) in kept}
        cached = [node_id for node_id in self._item.graph if self._cached(node_id) is not None]
        story.message("execution_cached", {"nodes": cached})
        for output in self._item.outputs:
            self._plan.add(output)
        while len(self._plan):
            node_id = self._plan.next()
            if node_id is None:
                story.cycle(self._plan.left)
                return story.outcome
            if not await self._step(node_id):
                return story.outcome
        story.message("execution_success", {})
        return story.outcome

    # --- one node --------------------------------------------------------------------------

    async def _step(self, node_id: str) -> bool:
        """Run or recall one node; False if the prompt ends here."""
        await asyncio.sleep(0)  # many small nodes must not keep HTTP and the sockets waiting
        await self._engine.knobs.until_off("stall")
        if (cached := self._cached(node_id)) is not None:
            self._recall(node_id, cached)
            return True
        if node_id in self._expanded:
            self._finished(node_id, self._gathered(self._expanded[node_id]))
            return True
        inputs: dict[str, Any] = {}
        self._hub.publish(self._progress.start(node_id))
        self._story.executing(node_id)
        try:
            self._studio.check()
            inputs = self._inputs(node_id)
            await self._work(node_id, inputs)
        except Interrupted:
            self._story.interrupted(node_id)
        except NodeFailure as failure:
            self._story.failed(node_id, inputs, failure.kind, str(failure))
        except Exception as error:
            log.exception("node %s failed", node_id)
            self._story.failed(node_id, inputs, type(error).__name__, str(error))
        else:
            return True
        return False

    async def _work(self, node_id: str, inputs: dict[str, Any]) -> None:
        """Finish the node, or put it back: it wants more of its inputs, or others stand for it."""
        spec = self._spec(node_id)
        blocker = next((value for value in inputs.values() if isinstance(value, Blocker)), None)
        if blocker is not None:
            if blocker.message is not None:  # once: what is behind the node is blocked silently
                self._story.blocked(node_id, blocker.message)
            self._finished(node_id, Result(tuple(Blocker() for _ in spec.outputs)))
            return
        call = self._call(node_id, inputs)
        if missing := self._missing(node_id, wanted(spec, call)):
            self._plan.wait(node_id, missing)
            return
        await self._studio.misbehave(node_id, spec.name)
        answer = implementation(spec)(call)
        result = await answer if inspect.isawaitable(answer) else answer
        if result.expand:
            self._expand(node_id, result)
        else:
            self._finished(node_id, result)

    def _call(self, node_id: str, inputs: dict[str, Any]) -> Call:
        return Call(
            node_id,
            self._graph[node_id]["class_type"],
            inputs,
            self._item.graph,
            self._item.extra_data,
            self._engine.folders,
            self._studio,
            self._engine.version,
        )

    def _inputs(self, node_id: str) -> dict[str, Any]:
        """The values of the inputs the class declares; links are followed as far as there is
        something at their other end."""
        given = inputs_of(self._graph[node_id])
        values = {}
        for one in self._engine.catalogue.types.inputs(self._spec(node_id).name, given):
            if one.name not in given:
                continue
            value = given[one.name]
            if not is_link(value):
                values[one.name] = value
            elif self._has_result(value[0]):
                values[one.name] = self._linked(value)
        return values

    def _missing(self, node_id: str, names: list[str]) -> list[str]:
        """What is to run before a lazy node has these inputs."""
        given = inputs_of(self._graph[node_id])
        links = [given[name] for name in names if is_link(given.get(name))]
        return [link[0] for link in links if not self._has_result(link[0])]

    def _linked(self, link: list[Any]) -> Any:
        result = self._results.get(link[0])
        if result is None:
            cached = self._cached(link[0])
            result = cached.result if cached else Result()
        return result.outputs[int(link[1])]

    def _expand(self, node_id: str, result: Result) -> None:
        """Other nodes stand for this one: they run, and then its outputs are theirs. What is in
        their place in the cache goes with it."""
        self._graph.expand(node_id, result.expand)
        inner = cache_keys(result.expand, self._salt, self._keys)
        self._keys |= {one: f"{self._keys[node_id]}/{key}" for one, key in inner.items()}
        self._expanded[node_id] = result
        for one in result.expand:
            if self._is_output(one):
                self._plan.add(one)
        self._plan.wait(node_id, [link[0] for link in result.outputs if is_link(link)])

    def _gathered(self, result: Result) -> Result:
        outputs = (self._linked(one) if is_link(one) else one for one in result.outputs)
        return Result(tuple(outputs))

    def _finished(self, node_id: str, result: Result) -> None:
        meta = self._graph.meta(node_id)
        self._results[node_id] = result
        self._story.executed.append(node_id)
        if self._spec(node_id).name not in _NEVER_CACHED:
            self._engine.cache[self._keys[node_id]] = CachedNode(result, meta)
        if result.ui is not None:
            self._story.show(node_id, result.ui, meta)
        self._hub.publish(self._progress.finish(node_id))
        self._plan.done(node_id)

    def _recall(self, node_id: str, cached: CachedNode) -> None:
        """A cached output node: `executed` with the OLD output, even if that is none."""
        self._results[node_id] = cached.result
        self._story.show(node_id, cached.result.ui, cached.meta)
        self._hub.publish(self._progress.finish(node_id))
        self._plan.done(node_id)

    # --- what is known of a node ------------------------------------------------------------

    def _spec(self, node_id: str) -> NodeSpec:
        return self._engine.catalogue[self._graph[node_id]["class_type"]]

    def _cached(self, node_id: str) -> CachedNode | None:
        key = self._keys.get(node_id)
        return None if key is None else self._engine.cache.get(key)

    def _has_result(self, node_id: str) -> bool:
        return node_id in self._results or self._cached(node_id) is not None

    def _is_output(self, node_id: str) -> bool:
        return self._spec(node_id).is_output

    def _is_lazy(self, node_id: str, name: str) -> bool:
        return name in self._spec(node_id).lazy

    def _salt(self, node_id: str) -> str:
        """What else a node's result depends on: its own id, or the file it loads."""
        node = self._graph[node_id]
        salt = node_id if self._engine.catalogue[node["class_type"]].wants_its_id else ""
        if node["class_type"] not in IMAGE_LOADERS:
            return salt
        try:
            found = self._engine.folders.annotated(str(inputs_of(node).get("image"))).stat()
        except (OSError, ValueError):
            return salt
        return f"{salt}{found.st_mtime_ns}:{found.st_size}"


def _outer(key: str) -> str:
    """The key of the prompt's own node that a node came out of."""
    return key.partition("/")[0]
