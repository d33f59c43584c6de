"""Runs one prompt: its nodes in order, their events, and the node cache."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from app.demo.catalogue import IMAGE_LOADERS, Catalogue
from app.demo.folders import Folders
from app.demo.graph import Graph, Plan, cache_keys, inputs_of, is_link
from app.demo.knobs import Knobs
from app.demo.nodes import Call, NodeFailure, Result, implementation
from app.demo.nodes.values import Blocker
from app.demo.progress import ProgressState
from app.demo.queue import QueueItem
from app.demo.reporter import Interrupted, Studio
from app.demo.sockets import Hub
from app.demo.version import Version

log = logging.getLogger(__name__)

_NEVER_CACHED = frozenset({"SaveImageWebsocket"})


@dataclass(frozen=True, slots=True)
class CachedNode:
    """A node's result, and the `meta` of the node that made it."""

    result: Result
    meta: dict[str, Any]


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


@dataclass
class Engine:
    """What outlives a prompt: the cache, the interrupt flag, and the server's parts."""

    catalogue: Catalogue
    folders: Folders
    hub: Hub
    knobs: Knobs
    version: Version
    preview_method: str
    cache: dict[str, CachedNode] = field(default_factory=dict)
    interrupted: bool = False


class Run:
    """One prompt being executed."""

    def __init__(self, item: QueueItem, engine: Engine) -> None:
        self._item = item
        self._graph: Graph = item.graph
        self._engine = engine
        self._hub = engine.hub
        self._progress = ProgressState(item.prompt_id)
        self._studio = Studio(item.prompt_id, item.extra_data, self._progress, engine)
        self._keys = cache_keys(self._graph, self._salt)
        self._results: dict[str, Result] = {}
        self._executed: list[str] = []
        self.outcome = Outcome()

    async def execute(self) -> Outcome:
        """Run to the end. Raises MissingNode, which kills the real server's worker."""
        engine = self._engine
        self._message("execution_start", {})
        cache = engine.cache
        engine.cache = {key: cache[key] for key in self._keys.values() if key in cache}
        cached = [node_id for node_id in self._graph if self._cached(node_id) is not None]
        self._message("execution_cached", {"nodes": cached})
        plan = Plan(self._graph, self._item.outputs, self._is_cached, self._is_output)
        while len(plan):
            node_id = plan.next()
            if node_id is None:
                self._cycle(plan.left)
                return self.outcome
            if not await self._step(node_id):
                return self.outcome
            plan.done(node_id)
        self._message("execution_success", {})
        return self.outcome

    # --- one node --------------------------------------------------------------------------

    async def _step(self, node_id: str) -> bool:
        """Run or recall one node; False if the prompt ends here."""
        await asyncio.sleep(0)  # many small nodes must not keep HTTP and the sockets waiting
        await self._engine.knobs.until_off("stall")
        if (cached := self._cached(node_id)) is not None:
            self._recall(node_id, cached)
            return True
        self._begin(node_id)
        inputs: dict[str, Any] = {}
        try:
            self._studio.check()
            inputs = self._inputs(node_id)
            blocker = next((v for v in inputs.values() if isinstance(v, Blocker)), None)
            result = self._blocked(node_id, blocker) if blocker else None
            result = result or await self._call(node_id, inputs)
        except Interrupted:
            self._interrupted(node_id)
        except NodeFailure as failure:
            self._failed(node_id, inputs, failure.kind, str(failure))
        except Exception as error:
            log.exception("node %s failed", node_id)
            self._failed(node_id, inputs, type(error).__name__, str(error))
        else:
            self._finished(node_id, result)
            return True
        return False

    def _begin(self, node_id: str) -> None:
        self._hub.last_node = node_id
        self._hub.publish(self._progress.start(node_id))
        self._send("executing", {"node": node_id, "display_node": node_id})

    def _blocked(self, node_id: str, blocker: Blocker) -> Result:
        """Told over the socket only, and once: what is behind the node is blocked silently."""
        if blocker.message is not None:
            self._send(
                "execution_error",
                {
                    "node_id": node_id,
                    "node_type": self._graph[node_id]["class_type"],
                    "executed": list(self._executed),
                    "exception_message": f"Execution Blocked: {blocker.message}",
                    "exception_type": "ExecutionBlocked",
                    "traceback": [],
                    "current_inputs": [],
                    "current_outputs": [],
                },
            )
        spec = self._engine.catalogue[self._graph[node_id]["class_type"]]
        return Result(tuple(Blocker() for _ in spec.outputs))

    async def _call(self, node_id: str, inputs: dict[str, Any]) -> Result:
        class_type = self._graph[node_id]["class_type"]
        await self._studio.misbehave(node_id, class_type)
        run = implementation(self._engine.catalogue[class_type])
        engine = self._engine
        call = Call(
            node_id,
            class_type,
            inputs,
            self._graph,
            self._item.extra_data,
            engine.folders,
            self._studio,
            engine.version,
        )
        result = run(call)
        return await result if inspect.isawaitable(result) else result

    def _inputs(self, node_id: str) -> dict[str, Any]:
        """The values of the inputs the class declares; links are followed."""
        node = self._graph[node_id]
        values = {}
        for one in self._engine.catalogue.types.inputs(node["class_type"], node["inputs"]):
            if one.name in node["inputs"]:
                value = node["inputs"][one.name]
                values[one.name] = self._linked(value) if is_link(value) else value
        return values

    def _linked(self, link: list[Any]) -> Any:
        result = self._results.get(link[0])
        if result is None:
            cached = self._cached(link[0])
            result = cached.result if cached else Result()
        return result.outputs[int(link[1])]

    def _finished(self, node_id: str, result: Result) -> None:
        meta = {
            "node_id": node_id,
            "display_node": node_id,
            "parent_node": None,
            "real_node_id": node_id,
        }
        self._results[node_id] = result
        self._executed.append(node_id)
        if self._graph[node_id]["class_type"] not in _NEVER_CACHED:
            self._engine.cache[self._keys[node_id]] = CachedNode(result, meta)
        if result.ui is not None:
            self._show(node_id, result, meta)
        self._hub.publish(self._progress.finish(node_id))

    def _recall(self, node_id: str, cached: CachedNode) -> None:
        """A cached output node: `executed` with the OLD output, even if that is none."""
        self._results[node_id] = cached.result
        self._show(node_id, cached.result, cached.meta)
        self._hub.publish(self._progress.finish(node_id))

    def _show(self, node_id: str, result: Result, meta: dict[str, Any]) -> None:
        self._send("executed", {"node": node_id, "display_node": node_id, "output": result.ui})
        if result.ui is not None:
            self.outcome.outputs[node_id] = result.ui
            self.outcome.meta[node_id] = meta

    # --- how it ends -----------------------------------------------------------------------

    def _interrupted(self, node_id: str) -> None:
        self.outcome.status_str, self.outcome.ending = "error", "interrupted"
        data = {
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": list(self._executed),
        }
        self._message("execution_interrupted", data, for_all=True)

    def _failed(self, node_id: str, inputs: dict[str, Any], kind: str, message: str) -> None:
        self.outcome.status_str, self.outcome.ending = "error", "error"
        class_type = self._graph[node_id]["class_type"]
        shown = {name: [_printable(value)] for name, value in inputs.items()}
        traceback = [f"  demo server, node {node_id} ({class_type})\n    {kind}: {message}\n"]
        self._error(node_id, kind, f"{message}\n", traceback, shown, list(self._graph))

    def _cycle(self, left: list[str]) -> None:
        """Found only at run time, a cycle leaves an error in a history that says success."""
        kind = "graph.DependencyCycleError"
        self.outcome.ending = "error"
        self._error(left[0], kind, "Dependency cycle detected", [], [], list(self._graph))

    def _error(
        self, node_id: str, kind: str, message: str, traceback: list[str], inputs: Any, ids: Any
    ) -> None:
        data = {
            "node_id": node_id,
            "node_type": self._graph[node_id]["class_type"],
            "executed": list(self._executed),
            "exception_message": message,
            "exception_type": kind,
            "traceback": traceback,
            "current_inputs": inputs,
            "current_outputs": ids,
        }
        self._message("execution_error", data)

    # --- messages and cache ----------------------------------------------------------------

    def _message(self, event: str, data: dict[str, Any], *, for_all: bool = False) -> None:
        """An execution_* message: with a timestamp, and kept in the history."""
        data = {"prompt_id": self._item.prompt_id, **data}
        data["timestamp"] = int(time.time() * 1000)
        self.outcome.messages.append((event, data))
        if for_all:
            self._hub.publish_event(event, data)
        else:
            self._hub.send(event, data)

    def _send(self, event: str, data: dict[str, Any]) -> None:
        self._hub.send(event, {**data, "prompt_id": self._item.prompt_id})

    def _cached(self, node_id: str) -> CachedNode | None:
        key = self._keys.get(node_id)
        return None if key is None else self._engine.cache.get(key)

    def _is_cached(self, node_id: str) -> bool:
        return self._cached(node_id) is not None

    def _is_output(self, node_id: str) -> bool:
        return self._engine.catalogue[self._graph[node_id]["class_type"]].is_output

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


def _printable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
