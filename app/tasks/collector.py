"""Fetches a task's results from its server into the file store, each once."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from app import lengths
from app.comfyui.cleaning import cut
from app.comfyui.results import FileResult, LostResult, Result, TextResult, results_of
from app.errors import ComfyMissing, GatewayError
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.magic import HEAD
from app.files.store import FileStore, once, safe_name
from app.files.streams import look_into
from app.servers.server import Server
from app.tasks.claims import Claims
from app.tasks.hub import Hub
from app.tasks.model import Output, Task
from app.tasks.view import output_view

log = logging.getLogger(__name__)

Json = dict[str, Any]

LEAST_TEXT = 200  # characters that are kept of each text, when there is no more room
MOST_AT_ONCE = 100  # nodes whose results are fetched while the task runs, or wait for that


class Collector:
    """`add` while the task runs, as nodes end; `finish` with the history, which is the truth."""

    def __init__(
        self, task: Task, server: Server, files: FileStore, claims: Claims, hub: Hub
    ) -> None:
        self._task_id = task.task_id
        self._server = server
        self._files = files
        self._claims = claims
        self._hub = hub
        self._one_at_a_time = asyncio.Lock()
        self.outputs = list(task.outputs)
        self._have = {output.identity for output in task.outputs}
        self._keys = {output.key for output in task.outputs}
        self._fetching: set[asyncio.Task[None]] = set()
        self._texts: dict[str, list[str]] = defaultdict(list)  # by node, as they are kept
        for output in task.outputs:
            if output.text is not None:
                self._texts[output.node_id].append(output.text)
        self._room = lengths.TEXTS - sum(len(output.text or "") for output in task.outputs)
        self.missing = [output for output in task.outputs if output.error]

    def add(self, node_id: str, output: Json | None) -> None:
        """A node has ended. What cannot be fetched now is fetched at the end."""
        if len(self._fetching) >= MOST_AT_ONCE:
            return
        if results := results_of(node_id, output):
            fetching = asyncio.create_task(self._try(results), name=f"fetch {self._task_id}")
            self._fetching.add(fetching)
            fetching.add_done_callback(self._fetching.discard)

    async def add_image(self, node_id: str, image: bytes, content_type: str) -> None:
        """A result that comes as a frame and is on no disk (SaveImageWebsocket)."""
        suffix = content_type.rpartition("/")[2]
        number = sum(1 for identity in self._have if identity[0] == node_id) + 1
        result = FileResult(node_id, "images", f"node{node_id}_{number:05}.{suffix}", "", "output")
        async with self._one_at_a_time:
            await self._keep(result, once(image), content_type)

    def has_results_of(self, node_id: str) -> bool:
        return any(identity[0] == node_id for identity in self._have)

    async def finish(self, outputs: dict[str, Json]) -> None:
        """Fetch all that is not here yet. Raises ComfyError if the server does not answer."""
        await self.settle()
        for node_id, output in outputs.items():
            for result in results_of(node_id, output):
                await self._fetch(result)

    async def settle(self) -> None:
        """Let what is under way come to its end."""
        if self._fetching:
            await asyncio.wait(self._fetching)

    async def abandon(self) -> None:
        for fetching in self._fetching:
            fetching.cancel()
        await self.settle()

    async def say_missing(self, node_id: str, filename: str | None, reason: str) -> None:
        """Keep a note in place of a result that is not to be had."""
        reason = cut(reason, lengths.MESSAGE)
        output = Output(node_id=node_id, kind=Kind.FILE, filename=filename, error=reason)
        self.missing.append(output)
        await self._record(output)

    async def _try(self, results: list[Result]) -> None:
        try:
            for result in results:
                await self._fetch(result, final=False)
        except GatewayError as error:
            log.info("task %s: a result comes later: %s", self._task_id, error.detail)
        except Exception:  # the final pass meets the same trouble and reports it
            log.exception("task %s: a result cannot be kept yet", self._task_id)

    async def _fetch(self, result: Result, *, final: bool = True) -> None:
        async with self._one_at_a_time:
            if isinstance(result, TextResult):
                await self._keep_text(result)
                return
            if isinstance(result, LostResult):
                await self._note_lost(result, final=final)
                return
            if self._is_here(result):
                return
            try:
                view = self._server.client.view(
                    result.filename, subfolder=result.subfolder, type=result.type
                )
                async with view as response:
                    said = response.headers.get("content-type")
                    await self._keep(result, response.aiter_bytes(), said)
            except ComfyMissing as error:
                if final and not result.optional:
                    await self.say_missing(result.node_id, result.filename, error.detail)

    async def _keep_text(self, result: TextResult) -> None:
        kept = self._texts[result.node_id]
        if any(text == cut(result.text, len(text)) for text in kept):
            return
        text = cut(result.text, max(self._room, LEAST_TEXT))
        self._room -= len(text)
        await self._record(Output(result.node_id, Kind.TEXT, text=text))
        kept.append(text)

    async def _note_lost(self, result: LostResult, *, final: bool) -> None:
        output = Output(result.node_id, Kind.FILE, filename=result.filename)
        if final and output.identity not in self._have:
            await self.say_missing(result.node_id, result.filename, result.reason)

    def _is_here(self, result: FileResult) -> bool:
        if result.optional:  # it may well be what another node saved
            return any(identity[1:] == result.identity for identity in self._have)
        return (result.node_id, *result.identity) in self._have

    async def _keep(
        self, result: FileResult, chunks: AsyncIterator[bytes], said: str | None
    ) -> None:
        head, chunks = await look_into(chunks, HEAD)
        content_type = content_type_of(result.filename, said, head)[: lengths.CONTENT_TYPE]
        stored = await self._files.save(self._free_key(result), chunks)
        await self._record(
            Output(
                node_id=result.node_id,
                kind=kind_of(result.filename, content_type),
                filename=result.filename,
                subfolder=result.subfolder,
                type=result.type,
                content_type=content_type,
                size_bytes=stored.size_bytes,
                hash=stored.hash,
                key=stored.key,
            )
        )

    async def _record(self, output: Output) -> None:
        await self._claims.add_output(self._task_id, output)
        self.outputs.append(output)
        self._have.add(output.identity)
        self._hub.publish(self._task_id, "output", output_view(self._task_id, output))

    def _free_key(self, result: FileResult) -> str:
        """<task_id>/<name>, numbered where two results of the task have one name."""
        name = safe_name(result.filename)
        key, number = f"{self._task_id}/{name}", 1
        while key in self._keys:
            number += 1
            key = f"{self._task_id}/{number}_{name}"
        self._keys.add(key)
        return key
