"""Real addresses and ids in place of those that the documentation shows."""

import re
from collections.abc import Awaitable, Callable

from tests.conftest import RunningGateway, model_free, wait_until

TASK = "48ea15ed-eca4-4337-ab9e-62cd40da60a8"
WAITING = "3f0c7b1e-5d24-4a8e-9c1b-7a6d5e4f3b2a"  # a task that no server can run yet
BATCH = "95d2fbc3-bbd2-4f13-91bf-498e2a5790c9"
ASSET = "9f8a1c0d-2b3e-4f56-8a7b-1c2d3e4f5a6b"
HASH = "blake3:df4c366ec65fa823664298c2070b1a058ad57f0ef8fc8c2d79f67f7a57cde630"
DELIVERY = "msg_5c1a2b6dd2a14a5f8f2f4f0f7a3f1c55"
VERSION = "20261122T094724938118Z-878edcab6e5f"
NOBODY = "127.0.0.1:9"  # refuses at once


class StandIns:
    """Makes what a block speaks of, freshly for each: it may be deleted in it."""

    def __init__(self, gateway: RunningGateway, servers: list[str]) -> None:
        self._http = gateway.http
        self.addresses = {
            "localhost:8000": gateway.address,
            "127.0.0.1:8000": gateway.address,
            "127.0.0.1:8188": servers[0],
            "192.168.1.20:8188": NOBODY,
            "host:8188": servers[1],
            "a:8188,b:8188": ",".join(servers),
        }
        self._makers: dict[str, Callable[[], Awaitable[str]]] = {
            TASK: self._task,
            WAITING: self._waiting,
            BATCH: self._batch,
            ASSET: self._asset,
            HASH: self._hash,
            DELIVERY: self._delivery,
            VERSION: self._version,
        }

    async def put_into(self, text: str) -> str:
        for shown, make in self._makers.items():
            if shown in text:
                text = text.replace(shown, await make())
        known = sorted(self.addresses, key=len, reverse=True)
        pattern = "|".join(rf"(?<![\w.]){re.escape(address)}" for address in known)
        return re.sub(pattern, lambda match: self.addresses[match[0]], text)

    async def _submit(self, **form: object) -> dict:
        body = {"workflow": model_free(), **form}
        answer = await self._http.post("/api/workflow/submit?wait=60", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _task(self) -> str:
        return (await self._told_task())[0]

    async def _told_task(self) -> tuple[str, str]:
        """A task of whose end the gateway's webhook is told, and the id of that delivery."""
        task_id = (await self._submit())["task_id"]

        async def told() -> list[dict]:
            return (await self._http.get(f"/api/task/{task_id}/deliveries")).json()["deliveries"]

        return task_id, (await wait_until(told))[0]["delivery_id"]

    async def _waiting(self) -> str:
        loader = {"class_type": "VAELoader", "inputs": {"vae_name": "not-there.safetensors"}}
        body = {"workflow": {**model_free(), "9": loader}, "wait_for_server": True}
        answer = await self._http.post("/api/workflow/submit", json=body)
        return answer.json()["task_id"]

    async def _batch(self) -> str:
        return (await self._submit(batch={"1.color": [1, 2]}))["batch_id"]

    async def _uploaded(self) -> dict:
        form = {"file_path": "photo.png", "content_type": "image/png"}
        files = {"file": ("photo.png", b"\x89PNG\r\n\x1a\nnot really")}
        answer = await self._http.post("/api/v2/assets", data=form, files=files)
        assert answer.is_success, answer.text
        return answer.json()

    async def _asset(self) -> str:
        return (await self._uploaded())["id"]

    async def _hash(self) -> str:
        return (await self._uploaded())["hash"]

    async def _delivery(self) -> str:
        return (await self._told_task())[1]

    async def _version(self) -> str:
        answer = await self._http.get("/api/workflow/mine.json/versions")
        return answer.json()["versions"][0]["version"]
