"""ComfyUI driven directly, as a careful client does it: prompt, socket, history."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect

from benchmarks.programs import workflow
from benchmarks.wire import Connection


class Direct:
    """One client of a ComfyUI, with its socket."""

    def __init__(self, connection: Connection, socket: ClientConnection, client_id: str) -> None:
        self.http = connection
        self._socket = socket
        self._client_id = client_id

    async def run(self, number: int | str) -> None:
        """Submit, and return when the end is known by the history."""
        prompt_id = await self.submit(number)
        async for frame in self._socket:
            if isinstance(frame, str) and '"executing"' in frame:
                data = json.loads(frame)["data"]
                if data["node"] is None and data.get("prompt_id") == prompt_id:
                    break
        history = (await self.http.ask("GET", f"/history/{prompt_id}")).json
        if history[prompt_id]["status"]["status_str"] != "success":
            raise RuntimeError("the prompt failed")

    async def submit(self, number: int | str) -> str:
        prompt_id = str(uuid4())
        body = {"prompt": workflow(number), "prompt_id": prompt_id, "client_id": self._client_id}
        answer = await self.http.ask("POST", "/prompt", body)
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())
        return prompt_id

    async def waiting(self) -> int:
        """How many prompts it holds."""
        answer = await self.http.ask("GET", "/prompt")
        remaining: int = answer.json["exec_info"]["queue_remaining"]
        return remaining


@asynccontextmanager
async def direct(base: str) -> AsyncIterator[Direct]:
    client_id = uuid4().hex
    url = f"ws{base.removeprefix('http')}/ws?clientId={client_id}"
    connection = await Connection.open(base)
    options = {"proxy": None, "max_size": None, "compression": None, "close_timeout": 0.1}
    async with connect(url, **options) as socket:
        yield Direct(connection, socket, client_id)
    connection.close()
