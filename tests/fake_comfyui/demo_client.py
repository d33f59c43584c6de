"""What the tests use to talk to the demo server."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

from tests.conftest import WAIT, model_free, wait_until


class Prompts:
    """Submits prompts and looks at what became of them."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def post(self, graph: dict[str, Any], client_id: Any = "A", **rest: Any) -> str:
        body = {"prompt": graph, "client_id": client_id, **rest}
        if client_id is None:
            del body["client_id"]
        response = await self.http.post("/prompt", json=body)
        assert response.status_code == 200, response.text
        prompt_id: str = response.json()["prompt_id"]
        return prompt_id

    async def history(self, prompt_id: str) -> dict[str, Any]:
        response = await self.http.get(f"/history/{prompt_id}")
        found: dict[str, Any] = response.json()
        return found

    async def ended(self, prompt_id: str) -> dict[str, Any]:
        """Its history entry, once there is one."""

        async def there() -> bool:
            return prompt_id in await self.history(prompt_id)

        await wait_until(there)
        entry: dict[str, Any] = (await self.history(prompt_id))[prompt_id]
        return entry


class Client:
    """One socket; `seen` holds what it received, as in sequences.json."""

    def __init__(self, sid: str, socket: ClientConnection, prompts: Prompts) -> None:
        self.sid = sid
        self.socket = socket
        self.prompts = prompts
        self.seen: list[str] = []
        self.messages: list[dict[str, Any]] = []
        self.frames: list[bytes] = []

    async def read(self) -> str:
        message = await asyncio.wait_for(self.socket.recv(), WAIT)
        if isinstance(message, bytes):
            self.frames.append(message)
            self.seen.append(f"binary {struct.unpack('>I', message[:4])[0]}")
        else:
            decoded = json.loads(message)
            self.messages.append(decoded)
            self.seen.append(token(decoded))
        return self.seen[-1]

    async def read_until(self, wanted: str) -> None:
        """Read on until a message that begins like this."""
        while not (await self.read()).startswith(wanted):
            pass

    async def run(self, graph: dict[str, Any], **rest: Any) -> str:
        """Submit, and read to the end mark."""
        prompt_id = await self.prompts.post(graph, self.sid, **rest)
        await self.read_until("executing None")
        return prompt_id


def token(message: dict[str, Any]) -> str:
    """A message in a word or two."""
    kind, data = message["type"], message["data"]
    match kind:
        case "status":
            remaining = data["status"]["exec_info"]["queue_remaining"]
            return f"status {remaining}" + (" sid" if "sid" in data else "")
        case "progress_state":
            nodes = (f"{node}={state['state']}" for node, state in data["nodes"].items())
            return " ".join([kind, *nodes])
        case "progress":
            return f"progress {data['node']} {data['value']}/{data['max']}"
        case "executing":
            return f"executing {data['node']}" + (
                "" if "prompt_id" in data else " without prompt_id"
            )
        case "execution_cached":
            return " ".join([kind, *sorted(data["nodes"])])
        case "executed":
            return f"executed {data['node']} " + (",".join(data["output"] or ()) or "null")
        case "execution_error" | "execution_interrupted":
            return f"{kind} {data['node_id']} {data['node_type']}"
    return str(kind)


def without_steps(sequence: list[str]) -> list[str]:
    """Without what depends on the number of sampling steps."""
    kept: list[str] = []
    for word in sequence:
        repeated = bool(kept) and kept[-1] == word and word.startswith("progress_state")
        if not word.startswith(("progress ", "binary ")) and not repeated:
            kept.append(word)
    return kept


def picture(colour: int = 255, *, prefix: str = "t", size: int = 64) -> dict[str, Any]:
    """EmptyImage -> ImageInvert -> SaveImage: no sampling."""
    return model_free(colour, size=size, prefix=prefix)


def txt2img(
    seed: int = 1, *, steps: int = 4, size: int = 64, text: str = "a fox"
) -> dict[str, Any]:
    """The usual seven nodes."""
    sampler = {
        "model": ["1", 0],
        "positive": ["2", 0],
        "negative": ["3", 0],
        "latent_image": ["4", 0],
        "seed": seed,
        "steps": steps,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    latent = {"width": size, "height": size, "batch_size": 1}
    checkpoint = {"ckpt_name": "sd_xl_base_1.0.safetensors"}
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": checkpoint},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": text}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "blurry"}},
        "4": {"class_type": "EmptyLatentImage", "inputs": latent},
        "5": {"class_type": "KSampler", "inputs": sampler},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {
            "class_type": "SaveImage",
            "inputs": {"images": ["6", 0], "filename_prefix": "t2i"},
        },
    }
