"""Clients of ComfyUI's own protocol as their programs are: they know an address, and no more."""

from collections.abc import Iterator
from typing import Any, Self
from uuid import uuid4

import httpx

from tests.conftest import wait_until

Json = dict[str, Any]


class NativeUser:
    """One client, over HTTP. `base`: http://HOST:PORT, with the door's path; `source`: the address
    that it comes from."""

    def __init__(
        self, base: str, client_id: str | None = None, *, key: str = "", source: str = "127.0.0.1"
    ) -> None:
        self.client_id = client_id or uuid4().hex
        self.http = httpx.AsyncClient(
            base_url=base,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=60,
            transport=httpx.AsyncHTTPTransport(local_address=source),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def post(self, graph: Json, **more: Any) -> str:
        """The prompt_id."""
        body = {"prompt": graph, "client_id": self.client_id, **more}
        answer = await self.http.post("/prompt", json=body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def queue(self) -> tuple[list[str], list[str]]:
        """The ids of those that run and of those that wait."""
        answer = await self.http.get("/queue")
        assert answer.status_code == 200, answer.text
        rows = answer.json()
        running, pending = ([row[1] for row in rows[f"queue_{k}"]] for k in ("running", "pending"))
        return running, pending

    async def history(self, prompt_id: str | None = None) -> Json:
        path = f"/history/{prompt_id}" if prompt_id else "/history"
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def ended(self, prompt_id: str) -> Json:
        """Its entry in the history, as soon as there is one."""

        async def look() -> Json | None:
            return (await self.history(prompt_id)).get(prompt_id)

        found: Json = await wait_until(look)
        return found

    async def runs(self, prompt_id: str) -> None:
        async def does() -> bool:
            return prompt_id in (await self.queue())[0]

        await wait_until(does)

    async def interrupt(self, **body: Any) -> None:
        answer = await self.http.post("/interrupt", json=body)
        assert answer.status_code == 200, answer.text

    async def delete(self, *prompt_ids: str) -> None:
        answer = await self.http.post("/queue", json={"delete": list(prompt_ids)})
        assert answer.status_code == 200, answer.text

    async def view(self, file: Json) -> bytes:
        """The content of a file that a history or an event names."""
        answer = await self.http.get("/view", params=file)
        assert answer.status_code == 200, f"{file}: {answer.text}"
        return answer.content


def files_of(outputs: Json) -> Iterator[Json]:
    """The files that the outputs of nodes name."""
    for output in outputs.values():
        for values in output.values():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict) and "filename" in value:
                    yield value
