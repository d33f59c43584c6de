"""ComfyUI's HTTP routes as methods. One client for all versions: features are detected."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote

from app.comfyui import answers, wire
from app.comfyui.answers import Answer
from app.comfyui.bodies import Body, form_body, json_body
from app.comfyui.history import HistoryEntry, PromptState, Sighting, state_of_job
from app.comfyui.node_errors import sound_errors
from app.comfyui.node_types import sound
from app.comfyui.transport import Transport, answer_of
from app.errors import ComfyError, ComfyMissing
from app.limits.json_types import Json

# Seconds without any progress
TIMEOUT = 10.0
SLOW = 120.0  # object_info blocks a busy server for a while; uploads may be large
VIEW: float | None = 10.0  # between two chunks of a file, which may have any size


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that is being read from a server, with the type that the server gives it."""

    content_type: str | None
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class PassedAnswer:
    """An answer that is passed on to the client as it is read."""

    status: int
    content_type: str | None
    chunks: AsyncIterator[bytes]


def _segment(name: str) -> str:
    """Quote a name as a path segment. Raises ComfyMissing for one that would change the path."""
    if name in ("", ".", ".."):
        raise ComfyMissing(f"ComfyUI has nothing named {name!r}.")
    return quote(name, safe="")


def _ids(items: Any) -> list[Any]:
    """Return the prompt ids of a queue, which is a list of lists."""
    rows = items if isinstance(items, list) else []
    return [item[1] for item in rows if isinstance(item, list) and len(item) > 1]


class ComfyClient:
    """HTTP client of one ComfyUI server; `base_url` is like http://127.0.0.1:8188.

    Raises InvalidInput for a `base_url` that no request can be sent to.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        # Set by `probe`: GET and cancel by id exist only in servers after 0.3.64.
        self.has_jobs_api = False
        self._http = Transport(base_url)
        self.address = self._http.address

    async def aclose(self) -> None:
        await self._http.aclose()

    # -- reading --------------------------------------------------------------------------------

    async def probe(self) -> Json:
        """Detect the server's features and return its `system_stats`.

        A 500 from /api/jobs means that the route exists but fails on a queued prompt: it is not
        used.
        """
        stats = await self.system_stats()
        answer = await self._send("GET", "/api/jobs", params={"status": "pending", "limit": 1})
        try:
            self.has_jobs_api = answer.status == 200 and "jobs" in wire.loads(answer.content)
        except ValueError:
            self.has_jobs_api = False
        return stats

    async def system_stats(self) -> Json:
        return await self._object("/system_stats")

    async def object_info(self) -> Json:
        """Return all node types: up to 2 MB, blocking the server's event loop for about 0.25 s."""
        return sound(await self._object("/object_info", timeout=SLOW))

    async def features(self) -> Json:
        return await self._object("/features")

    async def extensions(self) -> list[str]:
        return [str(item) for item in await self._list("/extensions")]

    async def embeddings(self) -> list[str]:
        return [str(item) for item in await self._list("/embeddings")]

    async def model_folders(self) -> list[str]:
        return [str(item) for item in await self._list("/models")]

    async def models(self, folder: str) -> list[str]:
        """Return the file names in a model folder. Raises ComfyMissing for an unknown folder."""
        return [str(item) for item in await self._list(f"/models/{_segment(folder)}")]

    async def model_metadata(self, folder: str, filename: str) -> Json:
        """Return the header metadata of a safetensors file. Raises ComfyMissing if it has none."""
        path = f"/view_metadata/{_segment(folder)}"
        return await self._object(path, params={"filename": filename})

    async def queue(self) -> Json:
        """Return `{"queue_running": [...], "queue_pending": [...]}`, with items as in ComfyUI.

        Items are [number, prompt_id, graph, extra_data, outputs]; pending ones are in no order.
        """
        said = await self._object("/queue")
        if all(isinstance(said.get(key), list) for key in ("queue_running", "queue_pending")):
            return said
        return self._unexpected("/queue")

    async def history(self, *, max_items: int = 200) -> Json:
        return await self._object("/history", params={"max_items": max_items}, timeout=SLOW)

    async def history_entry(self, prompt_id: str) -> HistoryEntry | None:
        """Return the entry of a finished prompt; None if it is unknown, pending or running."""
        history = await self._object(f"/history/{_segment(prompt_id)}")
        if prompt_id not in history:
            return None
        entry = history[prompt_id]
        return HistoryEntry.read(entry if isinstance(entry, dict) else self._unexpected("/history"))

    async def find(self, prompt_id: str, *, finished: bool = False) -> Sighting:
        """Return where the prompt is; UNKNOWN: never received, deleted, or the server restarted.

        `finished`: the prompt is expected to be over, so the history is read first.
        """
        if self.has_jobs_api and not finished:
            answer = await self._send("GET", f"/api/jobs/{_segment(prompt_id)}")
            state = state_of_job(answer.content) if answer.status == 200 else None
            if state in (PromptState.PENDING, PromptState.RUNNING):
                return Sighting(state)
        return await self._find_in_queue(prompt_id)

    async def _find_in_queue(self, prompt_id: str) -> Sighting:
        # History again after the queue: the prompt may move between the two requests.
        for look_in_queue in (True, False):
            entry = await self.history_entry(prompt_id)
            if entry is not None:
                return Sighting(PromptState.FINISHED, entry)
            if look_in_queue:
                queue = await self.queue()
                for state, key in (
                    (PromptState.RUNNING, "queue_running"),
                    (PromptState.PENDING, "queue_pending"),
                ):
                    if prompt_id in _ids(queue.get(key)):
                        return Sighting(state)
        return Sighting(PromptState.UNKNOWN)

    # -- writing --------------------------------------------------------------------------------

    async def queue_prompt(
        self,
        prompt: Json,
        *,
        prompt_id: str,
        client_id: str,
        extra: Json,
        targets: Sequence[str] | None = None,
    ) -> Json:
        """Queue a prompt under the given id; return the node_errors of outputs left out.

        `targets`: the output nodes to run, None for all; with [] ComfyUI refuses the prompt.

        ComfyUI runs a repeated prompt_id again: call `find` before a POST that may be a second one.
        Raises PromptRejected, ComfyUnreachable (the prompt may be queued nevertheless), and
        ComfyError for an answer that is not ComfyUI's.
        """
        body: Json = {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id}
        if extra:
            body["extra_data"] = extra
        if targets is not None:
            body["partial_execution_targets"] = list(targets)
        answer = await self._post("/prompt", body, timeout=SLOW)
        return sound_errors(answers.taken(answer, self.address).get("node_errors"))

    async def cancel(self, prompt_id: str) -> None:
        """Request the cancel of a pending or running prompt, without waiting for its end.

        Without the jobs API the interrupt is sent only if this prompt is seen running: an interrupt
        with an unknown id is ignored, and one without an id stops whichever prompt runs.
        """
        if self.has_jobs_api:
            path = f"/api/jobs/{_segment(prompt_id)}/cancel"
            answer = await self._send("POST", path)
            if answer.status not in (404, 405):
                self._json(answer)
                return
        await self.withdraw(prompt_id)
        if prompt_id in _ids((await self.queue()).get("queue_running")):
            self._check(await self._post("/interrupt", {"prompt_id": prompt_id}))

    async def withdraw(self, prompt_id: str) -> None:
        """Remove a pending prompt from the queue; a running one is not affected."""
        self._check(await self._post("/queue", {"delete": [prompt_id]}))

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        body = {"unload_models": unload_models, "free_memory": free_memory}
        self._check(await self._post("/free", body))

    async def delete_history(self, prompt_ids: list[str]) -> None:
        self._check(await self._post("/history", {"delete": prompt_ids}))

    async def input_size(self, filename: str) -> int | None:
        """Return the size in bytes of a file in the server's input folder; None if it is absent."""
        params = {"filename": filename, "type": "input"}
        answer = await self._send("HEAD", "/view", params=params)
        length = answer.headers.get("content-length", "")
        return int(length) if answer.status == 200 and length.isdecimal() else None

    async def upload_input(
        self, filename: str, content: BinaryIO, *, overwrite: bool = False
    ) -> str:
        """Upload a file into the server's input folder; return the name that it got there.

        If a file of that name with other bytes exists, the upload gets another name, or replaces
        that file with `overwrite`.
        """
        about = {"type": "input", **({"overwrite": "true"} if overwrite else {})}
        form = form_body(about, "image", filename, content, SLOW)
        said = self._json(await self._send("POST", "/upload/image", body=form, timeout=SLOW))
        if not isinstance(said, dict) or not isinstance(said.get("name"), str):
            self._unexpected("/upload/image")
        name, subfolder = said["name"], str(said.get("subfolder") or "")
        return f"{subfolder}/{name}" if subfolder else name

    @asynccontextmanager
    async def view(
        self, filename: str, *, subfolder: str = "", type: str = "output"
    ) -> AsyncIterator[OpenFile]:
        """Open a file on the server. Raises ComfyMissing if it is gone."""
        params = {"filename": filename, "subfolder": subfolder, "type": type}
        async with self._http.opened("GET", "/view", params=params, timeout=VIEW) as response:
            if (status := response.status) in (400, 403, 404):
                what = "does not hand out" if status == 403 else "has no"
                said = f"ComfyUI at {self.address} {what} file {filename!r}"
                raise ComfyMissing(f"{said}: it answers {status}.")
            if status != 200:
                raise answers.fault(answer_of(response), self.address)
            yield OpenFile(response.headers.get("content-type"), response.content.iter_any())

    @asynccontextmanager
    async def passed(
        self, method: str, path: str, *, query: str, content: bytes, content_type: str | None
    ) -> AsyncIterator[PassedAnswer]:
        """Send a request of a client to a route of a node pack; path and query are quoted."""
        kind = content_type or "application/octet-stream"
        body = Body([content], len(content), kind, SLOW) if content else None
        options: Json = {"params": query, "body": body, "timeout": SLOW}
        async with self._http.opened(method, path, **options) as response:
            told = response.headers.get("content-type")
            yield PassedAnswer(response.status, told, response.content.iter_any())

    # -- helpers --------------------------------------------------------------------------------

    async def _send(
        self, method: str, path: str, *, timeout: float = TIMEOUT, **more: Any
    ) -> Answer:
        return await self._http.ask(method, path, timeout=timeout, **more)

    async def _post(self, path: str, said: Json, *, timeout: float = TIMEOUT) -> Answer:
        body = json_body(said, timeout)
        return await self._send("POST", path, body=body, timeout=timeout)

    async def _get(self, path: str, **options: Any) -> Any:
        answer = await self._send("GET", path, **options)
        if answer.status == 404:
            raise ComfyMissing(f"ComfyUI at {self.address} has nothing at {path}.")
        return self._json(answer)

    async def _object(self, path: str, **options: Any) -> Json:
        answer = await self._get(path, **options)
        return answer if isinstance(answer, dict) else self._unexpected(path)

    async def _list(self, path: str) -> list[Any]:
        answer = await self._get(path)
        return answer if isinstance(answer, list) else self._unexpected(path)

    def _check(self, answer: Answer) -> None:
        if answer.is_error:
            raise answers.fault(answer, self.address)

    def _json(self, answer: Answer) -> Any:
        self._check(answer)
        try:
            return wire.loads(answer.content)
        except ValueError:
            self._unexpected(answer.path)

    def _unexpected(self, path: str) -> NoReturn:
        raise ComfyError(
            f"{self.address} answered {path} with something that is not ComfyUI's.",
            hint="Is this address really a ComfyUI server?",
        )
