"""ComfyUI's HTTP routes as methods. One client for all versions: features are detected.

httpx's exceptions do not leave this package: `translating` converts them to the gateway's.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, BinaryIO, NoReturn
from urllib.parse import quote

import httpx

from app.comfyui import answers, wire
from app.comfyui.history import HistoryEntry, PromptState, Sighting, state_of_job
from app.comfyui.node_errors import sound_errors
from app.comfyui.node_types import sound
from app.errors import ComfyError, ComfyMissing, ComfySilent, ComfyUnreachable, InvalidInput
from app.limits.json_types import Json

TIMEOUT = httpx.Timeout(10, connect=5)
# object_info blocks a busy server for a while; uploads and downloads may be large
SLOW = httpx.Timeout(120, connect=5)
# Timeout between two chunks of a file, which may have any size
VIEW = httpx.Timeout(10, connect=5)
# Idle connections are closed before servers close theirs (after 5 s commonly). Otherwise a request
# may use a connection that is being closed, and a healthy server looks unreachable.
CONNECTION_LIMITS = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=3
)


@contextmanager
def translating(client: httpx.AsyncClient, address: str) -> Iterator[None]:
    """Convert httpx's exceptions to the gateway's, and that of a client closed meanwhile."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ComfySilent(f"ComfyUI at {address} did not answer in time.") from error
    except RuntimeError as error:
        if not client.is_closed:
            raise
        raise ComfyUnreachable(f"ComfyUI at {address} was removed.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise ComfyUnreachable(f"ComfyUI at {address} cannot be reached: {reason}.") from error


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

    def __init__(self, base_url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.base_url = base_url
        self.address = base_url.split("://", 1)[-1]
        # Set by `probe`: GET and cancel by id exist only in servers after 0.3.64.
        self.has_jobs_api = False
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{base_url!r} is not an address: {error}.") from error
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT,
            limits=CONNECTION_LIMITS,
            trust_env=False,
            verify=url.scheme == "https",  # loading the CA certificates takes 25 ms
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    # -- reading --------------------------------------------------------------------------------

    async def probe(self) -> Json:
        """Detect the server's features and return its `system_stats`.

        A 500 from /api/jobs means that the route exists but fails on a queued prompt: it is not
        used.
        """
        stats = await self.system_stats()
        response = await self._send("GET", "/api/jobs", params={"status": "pending", "limit": 1})
        try:
            self.has_jobs_api = response.status_code == 200 and "jobs" in wire.loads(
                response.content
            )
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
            response = await self._send("GET", f"/api/jobs/{_segment(prompt_id)}")
            state = state_of_job(response.content) if response.status_code == 200 else None
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
        self, prompt: Json, *, prompt_id: str, client_id: str, extra: Json
    ) -> Json:
        """Queue a prompt under the given id; return the node_errors of outputs left out.

        ComfyUI runs a repeated prompt_id again: call `find` before a POST that may be a second one.
        Raises PromptRejected, ComfyUnreachable (the prompt may be queued nevertheless), and
        ComfyError for an answer that is not ComfyUI's.
        """
        body: Json = {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id}
        if extra:
            body["extra_data"] = extra
        response = await self._send("POST", "/prompt", json=body, timeout=SLOW)
        return sound_errors(answers.taken(response, self.address).get("node_errors"))

    async def cancel(self, prompt_id: str) -> None:
        """Request the cancel of a pending or running prompt, without waiting for its end.

        Without the jobs API the interrupt is sent only if this prompt is seen running: an interrupt
        with an unknown id is ignored, and one without an id stops whichever prompt runs.
        """
        if self.has_jobs_api:
            path = f"/api/jobs/{_segment(prompt_id)}/cancel"
            response = await self._send("POST", path)
            if response.status_code not in (404, 405):
                self._json(response)
                return
        await self.withdraw(prompt_id)
        if prompt_id in _ids((await self.queue()).get("queue_running")):
            self._check(await self._send("POST", "/interrupt", json={"prompt_id": prompt_id}))

    async def withdraw(self, prompt_id: str) -> None:
        """Remove a pending prompt from the queue; a running one is not affected."""
        self._check(await self._send("POST", "/queue", json={"delete": [prompt_id]}))

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        body = {"unload_models": unload_models, "free_memory": free_memory}
        self._check(await self._send("POST", "/free", json=body))

    async def delete_history(self, prompt_ids: list[str]) -> None:
        self._check(await self._send("POST", "/history", json={"delete": prompt_ids}))

    async def input_size(self, filename: str) -> int | None:
        """Return the size in bytes of a file in the server's input folder; None if it is absent."""
        params = {"filename": filename, "type": "input"}
        response = await self._send("HEAD", "/view", params=params)
        length = response.headers.get("content-length", "")
        return int(length) if response.status_code == 200 and length.isdecimal() else None

    async def upload_input(
        self, filename: str, content: BinaryIO, *, overwrite: bool = False
    ) -> str:
        """Upload a file into the server's input folder; return the name that it got there.

        If a file of that name with other bytes exists, the upload gets another name, or replaces
        that file with `overwrite`.
        """
        about = {"type": "input", **({"overwrite": "true"} if overwrite else {})}
        files = {"image": (filename, content)}
        response = await self._send("POST", "/upload/image", files=files, data=about, timeout=SLOW)
        answer = self._json(response)
        if not isinstance(answer, dict) or not isinstance(answer.get("name"), str):
            self._unexpected("/upload/image")
        name, subfolder = answer["name"], str(answer.get("subfolder") or "")
        return f"{subfolder}/{name}" if subfolder else name

    @asynccontextmanager
    async def view(
        self, filename: str, *, subfolder: str = "", type: str = "output"
    ) -> AsyncIterator[httpx.Response]:
        """Stream a file from the server. Raises ComfyMissing if it is gone."""
        params = {"filename": filename, "subfolder": subfolder, "type": type}
        with translating(self._http, self.address):
            async with self._http.stream("GET", "/view", params=params, timeout=VIEW) as response:
                if (status := response.status_code) in (400, 403, 404):
                    what = "does not hand out" if status == 403 else "has no"
                    said = f"ComfyUI at {self.address} {what} file {filename!r}"
                    raise ComfyMissing(f"{said}: it answers {status}.")
                if status != 200:
                    raise answers.fault(response, self.address)
                yield response

    # -- helpers --------------------------------------------------------------------------------

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with translating(self._http, self.address):
            return await self._http.request(method, path, **options)

    async def _get(self, path: str, **options: Any) -> Any:
        response = await self._send("GET", path, **options)
        if response.status_code == 404:
            raise ComfyMissing(f"ComfyUI at {self.address} has nothing at {path}.")
        return self._json(response)

    async def _object(self, path: str, **options: Any) -> Json:
        answer = await self._get(path, **options)
        return answer if isinstance(answer, dict) else self._unexpected(path)

    async def _list(self, path: str) -> list[Any]:
        answer = await self._get(path)
        return answer if isinstance(answer, list) else self._unexpected(path)

    def _check(self, response: httpx.Response) -> None:
        if response.is_error:
            raise answers.fault(response, self.address)

    def _json(self, response: httpx.Response) -> Any:
        self._check(response)
        try:
            return wire.loads(response.content)
        except ValueError:
            self._unexpected(response.request.url.path)

    def _unexpected(self, path: str) -> NoReturn:
        raise ComfyError(
            f"{self.address} answered {path} with something that is not ComfyUI's.",
            hint="Is this address really a ComfyUI server?",
        )
