"""Fetches the results of a task from its server into the file store, each of them once."""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial

from app.comfyui.cleaning import CUT_MARK, cut
from app.comfyui.results import FileResult, LostResult, Result, TextResult, results_of
from app.errors import ComfyError, GatewayError
from app.files.kinds import Kind, content_type_of, is_no_media, kind_of
from app.files.signatures import SNIFFED_BYTES
from app.files.stores.disk_names import fold
from app.files.stores.store import FileStore, once, safe_name
from app.files.stores.streams import look_into
from app.limits import text_lengths
from app.limits.json_types import Json
from app.limits.periodic import attempt, cancel_all, to_its_end
from app.runner.download_outputs import Fetching, is_nameable
from app.runner.run_record import RunRecord
from app.servers.server import Server
from app.tasks.model import ITEM, Output, Task

log = logging.getLogger(__name__)


SAVE_IMAGE_WEBSOCKET = "SaveImageWebsocket"  # sends its images as frames over the socket, only once
FRAME_MISSED = "The image was sent while the gateway was not connected."
TOO_MANY = "ComfyUI told of more results than a task may have (10,000): {:,} were left out."
LEAST_TEXT = 200  # characters kept of each text when the limit for texts is used up
MOST_RESULTS = 10_000  # per task: files, texts and notes about missing results
MOST_AT_ONCE = 100  # fetches in progress while the task runs; further nodes wait for `finish`


class OutputCollector:
    """Collects results: `add` as nodes end, `finish` with the history, which is authoritative."""

    def __init__(
        self,
        task: Task,
        server: Server,
        files: FileStore,
        record: RunRecord,
        tell: Callable[[Output], None],
    ) -> None:
        """`tell` is called with each result once it is written."""
        self._task, self._task_id = task, task.task_id
        self._server_id = server.id
        # The previous owner may have been killed
        self._is_taken_over = task.submitted_at is not None
        self._fetching_files = Fetching(server, self._keep)
        self._files = files
        self._run_record = record
        self._tell = tell
        self._one_at_a_time = asyncio.Lock()
        self.outputs = list(task.outputs)
        self._have = Counter(output.identity for output in task.outputs)
        # Whichever node saved them
        self._files_here = {output.identity[1:] for output in task.outputs}
        self._noted: set[Result] = set()  # noted as missing
        self.left_out: set[Result] = set()  # beyond MOST_RESULTS
        # Folded, as some file systems take "A.png" for "a.png"
        self._keys = {fold(output.key) for output in task.outputs if output.key}
        self._fetching: set[asyncio.Task[None]] = set()
        self._texts: dict[str, TextOutputs] = defaultdict(TextOutputs)  # by node, as stored
        for output in task.outputs:
            if output.text is not None:
                self._texts[output.node_id].add(output.text)
        self._room = text_lengths.TEXTS - sum(len(output.text or "") for output in task.outputs)
        self.missing = [output for output in task.outputs if output.error]

    def add(self, node_id: str, output: Json | None) -> None:
        """Start fetching the results of a node that has ended; `finish` repeats what fails."""
        if len(self._fetching) >= MOST_AT_ONCE:
            return
        if results := results_of(node_id, output):
            fetching = asyncio.create_task(self._try(results), name=f"fetch {self._task_id}")
            self._fetching.add(fetching)
            fetching.add_done_callback(self._fetching.discard)

    async def add_image(self, node_id: str, image: bytes, content_type: str) -> None:
        """Store an image that was sent as a frame and is on no disk (SaveImageWebsocket)."""
        suffix = content_type.rpartition("/")[2]
        number = sum(1 for output in self.outputs if output.node_id == node_id) + 1
        result = FileResult(node_id, "images", f"node{node_id}_{number:05}.{suffix}", "", "output")
        async with self._one_at_a_time:
            if self._has_room_for(result):
                await self._keep(result, once(image), content_type)

    def has_results_of(self, node_id: str) -> bool:
        return any(identity[0] == node_id for identity in self._have)

    def lacks_any(self, node_ids: Sequence[str]) -> bool:
        return not all(map(self.has_results_of, node_ids))

    async def finish(self, outputs: dict[str, Json], images_of: Sequence[str]) -> None:
        """Fetch all results that are not stored yet. Raises ComfyUnreachable.

        `images_of`: nodes that send at least one image as a frame.
        """
        await self.settle()
        if self._is_taken_over:
            await self._files.remove_left(self._task_id)
        for node_id, output in outputs.items():
            for result in results_of(node_id, output):
                await self._fetch(result)
        for node_id in images_of:
            if not self.has_results_of(node_id):
                await self.say_missing(node_id, None, FRAME_MISSED)

    async def settle(self) -> None:
        """Wait for the fetches in progress."""
        if self._fetching:
            await asyncio.wait(self._fetching)

    async def abandon(self) -> None:
        await cancel_all(self._fetching)

    async def say_missing(self, node_id: str, filename: str | None, reason: str) -> None:
        """Record a note in place of a result that cannot be fetched."""
        reason = cut(reason, text_lengths.MESSAGE)
        output = Output(node_id=node_id, kind=Kind.FILE, filename=filename, error=reason)
        self.missing.append(output)
        await self._record(output)

    async def _try(self, results: list[Result]) -> None:
        """Store results before the end of the run; errors are ignored, as `finish` tries again."""
        keep = partial(self._keep_early, results)
        await attempt(keep, f"task {self._task_id}: keeping a result early")

    async def _keep_early(self, results: list[Result]) -> None:
        try:
            for result in results:
                if not await self._fetch(result, final=False):
                    return  # Skip the rest: the results of a node stay in their order.
        except GatewayError as error:
            log.info("task %s: a result comes later: %s", self._task_id, error.detail)

    async def _fetch(self, result: Result, *, final: bool = True) -> bool:
        """Store one result; return False if it has to wait for `finish`."""
        async with self._one_at_a_time:
            if self._is_here(result):
                return True
            if not final and not self._may_come_early(result):
                return False
            if self._has_room_for(result):
                await self._take(result, final=final)
            return True

    def _may_come_early(self, result: Result) -> bool:
        if isinstance(result, FileResult):
            return is_nameable(result) and len(self.outputs) < MOST_RESULTS
        return isinstance(result, TextResult)

    async def _take(self, result: Result, *, final: bool) -> None:
        if isinstance(result, TextResult):
            await self._keep_text(result)
        elif isinstance(result, LostResult):
            await self._note(result, result.reason)
        elif known := self._fetched(result):
            await self._record(replace(known, copy=result.copy))
        elif not final:
            await self._fetching_files.once(result)
        elif (reason := await self._fetching_files.fetch(result)) and not result.optional:
            await self._note(result, reason)

    def _fetched(self, result: FileResult) -> Output | None:
        """Return the stored output for a file that the node names repeatedly."""
        identity = (result.node_id, *result.identity)
        same = (output for output in self.outputs if output.identity == identity and output.key)
        return next(same, None) if result.copy else None

    async def _note(self, result: FileResult | LostResult, reason: str) -> None:
        self._noted.add(result)
        await self.say_missing(result.node_id, result.filename, reason)

    def _has_room_for(self, result: Result) -> bool:
        if len(self.outputs) < MOST_RESULTS:
            return True
        self.left_out.add(result)
        return False

    async def _keep_text(self, result: TextResult) -> None:
        text = cut(result.text, max(self._room, LEAST_TEXT))
        self._room -= len(text)
        type = ITEM if result.is_item else "output"
        output = Output(result.node_id, Kind.TEXT, type=type, text=text)
        await self._record(replace(output, copy=self._have[output.identity]))
        self._texts[result.node_id].add(text)

    def _is_here(self, result: Result) -> bool:
        if isinstance(result, TextResult):
            return self._texts[result.node_id].has(result.text, result.copy)
        if isinstance(result, LostResult):
            noted = Output(result.node_id, Kind.FILE, filename=result.filename)
            return self._have[noted.identity] > result.copy
        if result.optional:  # possibly the file that another node saved
            return result.identity in self._files_here
        return result in self._noted or self._have[result.node_id, *result.identity] > result.copy

    async def _keep(
        self, result: FileResult, chunks: AsyncIterator[bytes], said: str | None
    ) -> None:
        head, chunks = await look_into(chunks, SNIFFED_BYTES)
        if is_no_media(result.filename, head):
            what = "a text" if head else "no bytes"
            error = ComfyError(f"ComfyUI at {self._server_id} sent {what} in place of this file.")
            error.answered = 200
            raise error
        content_type = content_type_of(result.filename, said, head)[: text_lengths.CONTENT_TYPE]
        stored = await self._files.save(self._free_key(result), chunks)
        self._keys.add(fold(stored.key))
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
        if self._run_record.keep_back(output, partial(self._tell, output)):
            self._count(output)
        else:
            # To its end even if the caller is cancelled: stored outputs are published
            await to_its_end(self._write(output))

    async def _write(self, output: Output) -> None:
        await self._run_record.add_output(output)
        self._count(output)
        self._tell(output)

    def _count(self, output: Output) -> None:
        self.outputs.append(output)
        self._have[output.identity] += 1
        self._files_here.add(output.identity[1:])

    def _free_key(self, result: FileResult) -> str:
        """Return `<task_id>/<name>`, numbered if another result of the task has the same name."""
        name = safe_name(result.filename)
        key, number = f"{self._task_id}/{name}", 1
        while fold(key) in self._keys:
            number += 1
            key = f"{self._task_id}/{number}_{name}"
        return key


class TextOutputs:
    """The stored texts of one node, whole or truncated."""

    def __init__(self) -> None:
        self._kept: Counter[str] = Counter()
        self._cuts: set[int] = set()  # lengths at which texts may have been truncated

    def add(self, text: str) -> None:
        self._kept[text] += 1
        if CUT_MARK in text[-LEAST_TEXT:]:
            self._cuts.add(len(text))

    def has(self, text: str, copy: int) -> bool:
        """Return whether `text` is stored more than `copy` times."""
        forms = {cut(text, most) for most in (len(text), *self._cuts)}
        return sum(self._kept[form] for form in forms) > copy
