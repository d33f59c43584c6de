"""What the gateway can do, one step after another; each function stands for itself.

    python examples/advanced_usage.py

1. Run a saved workflow by name, with named parameters, and get the picture as the answer.
2. Upload that picture.
3. Make a new picture from it, and follow the task over the WebSocket, with previews.
4. Receive the signed webhook that tells of its end.
5. Run a workflow with comfy-sdk, the official client of Comfy API v2 (if it is installed).

What it makes goes into the folder `pictures`. Needs httpx and websockets. The gateway is expected
at http://localhost:8000; the environment variable GATEWAY_URL names another address, and
COMFYUI_API_KEY is the API key, if it wants one. The gateway calls the webhook's receiver, which
runs here: `make demo` allows that, another gateway needs COMFYUI_ALLOW_PRIVATE_URLS=127.0.0.1.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

GATEWAY_URL = os.environ.get("GATEWAY_URL", "http://localhost:8000")
API_KEY = os.environ.get("COMFYUI_API_KEY", "")
HEADERS = {"Authorization": f"Bearer {API_KEY}"} if API_KEY else {}
FINISHED = {"succeeded", "failed", "canceled", "expired"}
HERE = Path(__file__).resolve().parent
PICTURES = Path("pictures")  # in the current folder; git ignores it

Json = dict[str, Any]


class GatewayProblem(Exception):
    """The gateway refused something, or a task did not succeed."""


async def main() -> None:
    async with httpx.AsyncClient(base_url=GATEWAY_URL, headers=HEADERS, timeout=90) as http:
        picture = await text_to_image(http, "a lighthouse on a cliff at dawn")
        name = await upload(http, picture)
        async with Receiver() as receiver:
            task = await submit(http, name, receiver)
            task = await follow(task["task_id"])
            await save(http, task)
            await receiver.wait_for(task["task_id"])
    await asyncio.to_thread(run_with_comfy_sdk, picture)


# -- 1. a saved workflow, by its name ------------------------------------------------------------


async def text_to_image(http: httpx.AsyncClient, prompt: str) -> bytes:
    """`Accept: image/*` and `wait` together make the picture itself the answer."""
    answer = await http.post(
        "/api/workflow/sd15_text_to_image.json/run?wait=60",
        json={"params": {"prompt": prompt, "seed": -1, "width": 640, "height": 448}},
        headers={"Accept": "image/*"},
    )
    checked(answer)
    if not answer.headers["Content-Type"].startswith("image/"):  # then it is the task
        raise GatewayProblem(f"The task has {answer.json()['status']}.")
    print(f"1. a picture of {len(answer.content)} bytes")
    return answer.content


# -- 2. an upload -------------------------------------------------------------------------------


async def upload(http: httpx.AsyncClient, picture: bytes) -> str:
    """The name of the upload: another one if that name was taken by another picture."""
    files = {"image": ("lighthouse.png", picture)}
    kept = checked(await http.post("/api/image/upload", files=files)).json()
    print(f"2. uploaded as {kept['name']}")
    name: str = kept["name"]
    return name


# -- 3. named parameters, and live updates --------------------------------------------------------


async def submit(http: httpx.AsyncClient, image: str, receiver: "Receiver") -> Json:
    body = {
        "filename": "image_to_image.json",
        "params": {"image": image, "prompt": "a watercolour painting", "denoise": 0.5},
        "metadata": {"example": "advanced_usage"},
        "webhook": {"url": receiver.url, "secret": receiver.secret},
    }
    task: Json = checked(await http.post("/api/workflow/submit", json=body)).json()
    print(f"3. task {task['task_id']}")
    return task


async def follow(task_id: str) -> Json:
    """Every update of one task until it is finished."""
    url = GATEWAY_URL.replace("http", "ws", 1) + "/ws"
    # Connects again where the gateway closes, or refuses for now with a 503: it restarts, say.
    async for socket in connect(url, max_size=None, additional_headers=HEADERS):
        with contextlib.suppress(ConnectionClosed):
            async with socket:
                return await until_finished(socket, task_id)
    raise GatewayProblem("The connection was closed. The task goes on: poll it.")


async def until_finished(socket: ClientConnection, task_id: str) -> Json:
    """The present state comes first. Binary messages are previews."""
    previews = 0
    wish = {"type": "subscribe", "task_ids": [task_id], "previews": True}
    await socket.send(json.dumps(wish))
    while True:
        message = await socket.recv()
        if isinstance(message, bytes):
            previews += 1
            continue
        update: Json = json.loads(message)
        if update["type"] != "task_update":
            continue
        if update["event"] == "progress":
            show(update)
        elif update["event"] == "status" and update["status"] in FINISHED:
            print(f"   {update['status']}, after {previews} previews")
            return update


def show(update: Json) -> None:
    progress = update["progress"]
    step = f" {progress['step']:.0f}/{progress['steps']:.0f}" if progress["steps"] else ""
    print(f"   {progress['value']:4.0%} {progress['class_type'] or ''}{step}")


async def save(http: httpx.AsyncClient, task: Json) -> None:
    if task["status"] != "succeeded":
        raise GatewayProblem(f"The task has {task['status']}: {task['error']}")
    for output in task["outputs"]:
        content = checked(await http.get(http.base_url.join(output["url"]))).content
        target = PICTURES / output["filename"]
        await asyncio.to_thread(target.write_bytes, content)
        print(f"   saved {target}")


# -- 4. a webhook -------------------------------------------------------------------------------


class Receiver:
    """A little HTTP server that takes webhooks and checks who they are from."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self.secret = "whsec_" + base64.b64encode(self._key).decode()
        self.url = ""
        self._told: asyncio.Queue[Json] = asyncio.Queue()

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head)
        }
        body = await reader.readexactly(int(headers["content-length"]))
        good = self._is_signed(headers, body)
        if good:
            self._told.put_nowait(json.loads(body))
        writer.write(f"HTTP/1.1 {204 if good else 401} X\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    def _is_signed(self, headers: dict[str, str], body: bytes) -> bool:
        """Standard Webhooks; `pip install standardwebhooks` does the same."""
        sent_at = headers["webhook-timestamp"]
        if abs(time.time() - int(sent_at)) > 300:
            return False
        signed = f"{headers['webhook-id']}.{sent_at}.".encode() + body
        digest = hmac.digest(self._key, signed, hashlib.sha256)
        wanted = "v1," + base64.b64encode(digest).decode()
        given = headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(wanted, signature) for signature in given)

    async def wait_for(self, task_id: str) -> None:
        async with asyncio.timeout(30):
            while (event := await self._told.get())["data"]["task_id"] != task_id:
                pass
        print(f"4. the webhook says {event['type']}")


# -- 5. the official client -----------------------------------------------------------------------


def run_with_comfy_sdk(picture: bytes) -> None:
    """The same gateway as Comfy API v2. Needs `pip install comfy-sdk`."""
    try:
        from comfy_sdk import Comfy
    except ImportError:
        print("5. skipped: pip install comfy-sdk")
        return
    os.environ["COMFY_BASE_URL"] = GATEWAY_URL
    with Comfy(api_key=API_KEY or None) as client:
        workflow = client.workflows.from_file(str(HERE.parent / "workflows/image_to_image.json"))
        workflow.set_input("10", "image", client.assets.from_bytes(picture, filename="photo.png"))
        job = client.run(workflow)
        for output in job.outputs:
            target = PICTURES / f"comfy-sdk-{output.name}"
            output.to_file(str(target))
            print(f"5. saved {target}")


def checked(response: httpx.Response) -> httpx.Response:
    """The response if it is a good one. Every error of the gateway says what is wrong."""
    if response.is_error:
        problem = response.json()
        hint = f"\nHint: {problem['hint']}" if "hint" in problem else ""
        raise GatewayProblem(f"{problem['detail']} [{problem['code']}]{hint}")
    return response


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a code page of Windows lacks most letters
    print(f"Five steps at {GATEWAY_URL}; what they make goes into {PICTURES.resolve()}")
    try:
        PICTURES.mkdir(exist_ok=True)
        asyncio.run(main())
    except GatewayProblem as error:
        sys.exit(str(error))
    except (OSError, httpx.TransportError) as error:
        sys.exit(
            f"{GATEWAY_URL} does not answer: {error}\nStart the gateway (python start.py --demo)."
        )
    except KeyboardInterrupt:
        sys.exit(130)
