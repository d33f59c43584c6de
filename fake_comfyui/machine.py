"""All parts of one demo server together, and the worker that runs prompt after prompt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable
from functools import cache
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket

from fake_comfyui.catalogue import Catalogue
from fake_comfyui.engine import Engine
from fake_comfyui.executor import Run
from fake_comfyui.folders import Folders
from fake_comfyui.graph import MissingNode
from fake_comfyui.knobs import Knobs, Records
from fake_comfyui.order import Order
from fake_comfyui.pictures import encoded, example
from fake_comfyui.queue import PromptQueue, QueueItem
from fake_comfyui.sockets import Hub
from fake_comfyui.version import Version

log = logging.getLogger(__name__)

# Seconds by which the history is written after execution_success: clients race for it.
HISTORY_LAG = 0.005


class Machine:
    """The state behind the routes."""

    def __init__(
        self,
        folder: Path,
        object_info: Path | None,
        version: Version,
        knobs: Knobs,
        records: Records,
        cut: Callable[[WebSocket], None],
        order: Order,
    ) -> None:
        self.knobs = knobs
        self.records = records
        self.version = version
        self.order = order
        self.folders = Folders(folder)
        _draw_example(folder / "input" / "example.png")
        self.catalogue = Catalogue(object_info, self.folders.uploads)
        self.hub = Hub(knobs, records, cut, version.features)
        self.on_death: Callable[[], None] = lambda: None
        self._worker: asyncio.Task[None] | None = None
        self._reset()
        knobs.listen(self._knob_changed)

    def _reset(self) -> None:
        self.queue = PromptQueue(self.hub.broadcast_status)
        self.hub.queue_remaining = lambda: self.queue.remaining
        self.hub.client_id = self.hub.last_node = None
        self.engine = Engine(
            self.catalogue,
            self.folders,
            self.hub,
            self.knobs,
            self.version,
            self.order,
        )
        self.counter = 0
        self._free_memory = False

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work(), name="demo worker")

    async def stop(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait({self._worker})

    def restart_empty(self) -> None:
        """Forget everything but files, knobs and records."""
        if self._worker is not None:
            self._worker.cancel()
        if self.queue.running is not None:
            self.records.execution(self.queue.running.prompt_id).endings.append("forgotten")
        self.hub.cut_all()
        self._reset()
        self.folders.wipe_temp()
        self.start()

    def interrupt(self, prompt_id: Any) -> bool:
        """Stop the running prompt, if it has this id or none is named."""
        running = self.queue.running
        if prompt_id and (running is None or running.prompt_id != prompt_id):
            return False
        self.engine.interrupted = True
        return running is not None

    def free(self, *, memory: bool) -> None:
        """Drop the cache: at once, or when the running prompt has ended."""
        self._free_memory = self._free_memory or memory
        if self.queue.running is None:
            self._apply_free()

    def _apply_free(self) -> None:
        if self._free_memory:
            self.engine.cache.clear()
        self._free_memory = False

    async def _work(self) -> None:
        """The worker: ends, like the real one, on the first prompt it cannot even plan."""
        while True:
            item = await self.queue.get()
            if not isinstance(item.client_id, Hashable):
                self.records.execution(item.prompt_id).endings.append("died")
                asyncio.get_running_loop().call_later(0.05, self.on_death)
                return
            try:
                await self._run(item)
            except MissingNode:
                log.warning("prompt %s killed the worker, as it would in ComfyUI", item.prompt_id)
                self.records.execution(item.prompt_id).endings.append("died")
                return
            except Exception:
                log.exception("the worker died of prompt %s", item.prompt_id)
                self.records.execution(item.prompt_id).endings.append("died")
                return

    async def _run(self, item: QueueItem) -> None:
        execution = self.records.execution(item.prompt_id)
        execution.starts += 1
        self.hub.client_id, self.hub.last_node = item.client_id, None
        self.engine.interrupted = False
        outcome = await Run(item, self.engine).execute()
        execution.endings.append(outcome.ending)
        await asyncio.sleep(min(HISTORY_LAG, self.knobs.step_seconds))
        self.queue.finish(item, outcome.entry())
        self.hub.send("executing", {"node": None, "prompt_id": item.prompt_id})
        self.hub.last_node = None
        self._apply_free()

    def _knob_changed(self, name: str) -> None:
        if name == "refuse_sockets" and self.knobs.refuse_sockets:
            self.hub.cut_all()


def _draw_example(path: Path) -> None:
    if not path.exists():
        path.write_bytes(_example())


@cache
def _example() -> bytes:
    return encoded(example(), "PNG", compress_level=1)
