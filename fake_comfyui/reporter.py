"""How a running node takes its time and tells of its progress."""

from __future__ import annotations

import asyncio
from typing import Any

from fake_comfyui.background import compute
from fake_comfyui.engine import Engine
from fake_comfyui.frames import metadata_frame, preview_frame, text_frame
from fake_comfyui.growing import GrowingGraph
from fake_comfyui.knobs import PREVIEW_METHODS
from fake_comfyui.nodes import NodeFailure
from fake_comfyui.nodes.values import Recipe
from fake_comfyui.pictures import Previews
from fake_comfyui.progress import ProgressState
from fake_comfyui.queue import QueueItem


class Interrupted(Exception):
    """The prompt was interrupted."""


class Studio:
    """The Reporter of one prompt."""

    def __init__(
        self, item: QueueItem, progress: ProgressState, graph: GrowingGraph, engine: Engine
    ) -> None:
        self._prompt_id = item.prompt_id
        self._graph = graph
        self._progress = progress
        self._engine = engine
        self._hub = engine.hub
        self._knobs = engine.knobs
        # Newer servers let a prompt choose; any other word means what the server was started with.
        wish = item.extra_data.get("preview_method") if engine.version.jobs_api else None
        self._preview_method = wish if wish in PREVIEW_METHODS else None

    @property
    def _shows_previews(self) -> bool:
        return (self._preview_method or self._knobs.preview_method) != "none"

    def check(self) -> None:
        """Raise Interrupted if somebody asked for it."""
        if self._engine.interrupted:
            raise Interrupted

    async def misbehave(self, node_id: str, class_type: str) -> None:
        """Do what the knobs say about a node before it runs."""
        knobs = self._knobs
        if knobs.slow:
            await asyncio.sleep(knobs.slow)
        if knobs.oom == class_type:
            knobs.oom = None
            raise NodeFailure("torch.OutOfMemoryError", "out of memory, says the knob `oom`")
        if knobs.fail_node in (node_id, class_type) and knobs.fail_times != 0:
            if knobs.fail_times is not None:
                knobs.fail_times -= 1
            raise NodeFailure("RuntimeError", "failed, says the knob `fail_node`")

    async def work(self, steps: float) -> None:
        if self._knobs.step_seconds:
            await asyncio.sleep(self._knobs.step_seconds * steps)

    async def sample(self, node_id: str, recipe: Recipe, size: tuple[int, int]) -> None:
        previews: Previews | None = None
        pixels = size[0] * size[1]
        for step in range(1, recipe.steps + 1):
            # Even without any delay: HTTP and the sockets get their turn at each step.
            await asyncio.sleep(self._knobs.step_seconds)
            await self._knobs.until_off("stall")
            self.check()
            frame = None
            if self._shows_previews and self._hub.has_audience:
                if previews is None:
                    previews = await compute(pixels, Previews, recipe, *size)
                frame = await compute(pixels, previews.jpeg, step / recipe.steps)
            self._advance(node_id, step, recipe.steps, frame, "JPEG")

    async def results(self, node_id: str, images: list[bytes]) -> None:
        for place, image in enumerate(images):
            self._advance(node_id, place, len(images), image, "PNG")

    def text(self, node_id: str, text: str) -> None:
        self._hub.send_all(text_frame(node_id, text))

    def _advance(
        self, node_id: str, value: int, total: int, image: bytes | None, image_format: str
    ) -> None:
        """Old sockets get `progress` and then the picture, new ones the other way round."""
        hub = self._hub
        hub.publish(self._progress.advance(node_id, value, total))
        client = None if hub.client_id is None else hub.client
        modern = client is not None and client.wants_metadata
        if image is not None and modern:
            hub.publish(metadata_frame(image_format, image, self._metadata(node_id)))
        prompt_id = self._prompt_id
        data = {"value": value, "max": total, "prompt_id": prompt_id, "node": node_id}
        hub.publish_event("progress", data)
        if image is not None and not modern:
            hub.publish(preview_frame(image_format, image))

    def _metadata(self, node_id: str) -> dict[str, Any]:
        origin = self._graph.origin(node_id)
        return {"node_id": node_id, "prompt_id": self._prompt_id, **origin}
