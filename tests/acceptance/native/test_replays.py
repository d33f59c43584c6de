"""What programs send that cannot be installed here, in their order, and what they read of it.

Written anew from what these programs do, of which none is installed: their routes, content types,
ways to wait, and the keys that they look at.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from fake_comfyui.server import DemoServer
from tests.acceptance.native.places import Place, SettingsFor, places, two_servers
from tests.conftest import WAIT, model_free, text_to_image
from tests.integration.test_files import png

Json = dict[str, Any]

HEADER, PATH, PORT, DIRECT = "header", "path", "port", "direct"


@pytest.fixture
async def demos() -> AsyncIterator[list[DemoServer]]:
    async with two_servers() as found:
        yield found


@pytest.fixture
async def doors(
    demos: list[DemoServer], settings_for: SettingsFor, tmp_path: Path
) -> AsyncIterator[dict[str, Place]]:
    async with places(demos, settings_for, tmp_path) as found:
        yield found


def asking(place: Place) -> httpx.AsyncClient:
    return httpx.AsyncClient(headers=place.headers, timeout=WAIT)


def color_of(picture: bytes) -> int:
    with Image.open(BytesIO(picture)) as image:
        return int.from_bytes(image.convert("RGB").getpixel((0, 0)))


def graph(color: int) -> Json:
    """Its picture has that color."""
    return model_free(0xFFFFFF - color, prefix="ComfyUI")


async def events(socket: ClientConnection) -> AsyncIterator[Json | bytes]:
    """Messages as these programs read them; fails the test if none comes for long."""
    while True:
        async with asyncio.timeout(WAIT):
            message = await socket.recv()
        yield message if isinstance(message, bytes) else json.loads(message)


async def until_done(socket: ClientConnection, prompt_id: str) -> None:
    async for event in events(socket):
        if isinstance(event, bytes) or event["type"] != "executing":
            continue
        if event["data"]["node"] is None and event["data"].get("prompt_id") == prompt_id:
            return


async def viewed(http: httpx.AsyncClient, place: Place, image: Json) -> bytes:
    query = {name: image[name] for name in ("filename", "subfolder", "type")}
    answer = await http.get(f"{place.url}/view", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("image/")
    return answer.content


# -- Open WebUI ---------------------------------------------------------------------------------


async def open_webui(place: Place, color: int) -> bytes:
    """Its models, an upload for an edit, a socket of its own for each picture."""
    client_id = str(uuid4())
    headers = place.headers or {"Authorization": "Bearer"}  # none is set
    async with httpx.AsyncClient(headers=headers, timeout=WAIT) as http:
        types = (await http.get(f"{place.url}/object_info")).json()
        required = types["CheckpointLoaderSimple"]["input"]["required"]
        (names,) = [value[0] for name, value in required.items() if "_name" in name][:1]
        assert isinstance(names, list)
        form = {"image": (f"{color}.png", png((1, 2, 3)), "image/png")}
        uploaded = await http.post(
            f"{place.url}/api/upload/image", files=form, data={"type": "input"}
        )
        workflow = graph(color)
        workflow["8"] = {"class_type": "LoadImage", "inputs": {"image": uploaded.json()["name"]}}
        workflow["9"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
        origin = {"Origin": f"http://{place.host}"}  # as its library sends
        async with connect(
            f"{place.ws}?clientId={client_id}", additional_headers={**headers, **origin}
        ) as socket:
            body = {"prompt": workflow, "client_id": client_id}
            posted = (await http.post(f"{place.url}/prompt", json=body)).json()
            await until_done(socket, posted["prompt_id"])
        history = (await http.get(f"{place.url}/history/{posted['prompt_id']}")).json()
        outputs = history[posted["prompt_id"]]["outputs"]
        assert color_of(await viewed(http, place, outputs["9"]["images"][0])) == 0x010203
        return await viewed(http, place, outputs["3"]["images"][0])


# -- SillyTavern --------------------------------------------------------------------------------


async def sillytavern(place: Place, color: int) -> bytes:
    """It has no client id and asks for the whole history until its prompt is there."""
    async with asking(place) as http:
        assert (await http.get(f"{place.url}/system_stats")).is_success
        types = (await http.get(f"{place.url}/object_info")).json()
        sampler = types["KSampler"]["input"]["required"]
        loaders = {"CheckpointLoaderSimple": "ckpt_name", "UNETLoader": "unet_name"}
        lists = [types[loader]["input"]["required"][name][0] for loader, name in loaders.items()]
        lists += [sampler[name][0] for name in ("sampler_name", "scheduler")]
        assert all(isinstance(one, list) for one in lists)
        posted = await http.post(
            f"{place.url}/prompt",
            content=json.dumps({"prompt": graph(color)}),
            headers={"Content-Type": "text/plain;charset=UTF-8"},
        )
        prompt_id = posted.json()["prompt_id"]
        async with asyncio.timeout(WAIT):
            while True:
                history = (await http.get(f"{place.url}/history")).json()
                if prompt_id in history:
                    break
                await asyncio.sleep(0.1)
        item = history[prompt_id]
        assert item["status"]["status_str"] == "success", item["status"]["messages"]
        (output,) = [one for one in item["outputs"].values() if "images" in one or "gifs" in one]
        return await viewed(http, place, output["images"][0])


# -- n8n ----------------------------------------------------------------------------------------


async def n8n(place: Place, color: int) -> bytes:
    """It looks into the queue, then into the history: in neither is a failure."""
    async with asking(place) as http:
        assert (await http.get(f"{place.url}/system_stats")).is_success
        posted = await http.post(f"{place.url}/prompt", json={"prompt": graph(color)})
        prompt_id = posted.json()["prompt_id"]
        async with asyncio.timeout(WAIT):
            while True:
                queue = (await http.get(f"{place.url}/queue")).json()
                rows = queue["queue_running"] + queue["queue_pending"]
                if prompt_id not in [row[1] for row in rows]:
                    break
        history = (await http.get(f"{place.url}/history/{prompt_id}")).json()
        status = history[prompt_id]["status"]
        assert (status["completed"], status["status_str"]) == (True, "success")
        images = [
            image
            for output in history[prompt_id]["outputs"].values()
            for image in (*output.get("images", ()), *output.get("videos", ()))
            if image["type"] in ("output", "temp")
        ]
        return await viewed(http, place, images[0])


# -- Dify ---------------------------------------------------------------------------------------


async def dify(place: Place, color: int) -> bytes:
    """Its socket is at the root of the host, its body has no type, `overwrite` is a file."""
    client_id = str(uuid4())
    async with asking(place) as http:
        assert "checkpoints" in (await http.get(f"{place.url}/models")).json()
        assert isinstance((await http.get(f"{place.url}/models/checkpoints")).json(), list)
        sampler = (await http.get(f"{place.url}/object_info/KSampler")).json()["KSampler"]
        assert sampler["input"]["required"]["sampler_name"]
        form = {"image": ("photo.png", png((9, 8, 7)), "image/png"), "overwrite": ("", b"true")}
        uploaded = await http.post(f"{place.url}/upload/image", files=form)
        assert uploaded.json()["name"] == "photo.png", uploaded.text
        async with connect(
            f"ws://{place.host}/ws?clientId={client_id}", additional_headers=place.headers
        ) as socket:
            extra = {"api_key_comfy_org": "comfy-secret"}
            body = {"client_id": client_id, "prompt": graph(color), "extra_data": extra}
            posted = await http.post(f"{place.url}/prompt", content=json.dumps(body))
            assert "error" not in posted.json(), posted.text
            prompt_id = posted.json()["prompt_id"]
            await until_done(socket, prompt_id)
        answer = await http.get(f"{place.url}/history", params={"prompt_id": prompt_id})
        entry = answer.json()[prompt_id]
        assert "comfy-secret" not in answer.text
        images = [
            image
            for output in entry["outputs"].values()
            for kind in ("images", "gifs", "audio")
            for image in output.get(kind, ())
        ]
        return await viewed(http, place, images[0])


REPLAYS = [
    *((open_webui, door) for door in (DIRECT, HEADER, PATH, PORT)),
    *((sillytavern, door) for door in (DIRECT, PATH, PORT)),
    *((n8n, door) for door in (DIRECT, HEADER, PATH, PORT)),
    *((dify, door) for door in (DIRECT, HEADER, PORT)),
]


async def test_two_pictures_at_once(doors: dict[str, Place]) -> None:
    """By each program through each door that it can use, all of them at the same time."""
    wanted = [
        (replay, door, 0x102030 + 16 * place + number)
        for place, (replay, door) in enumerate(REPLAYS)
        for number in range(2)
    ]
    found = await asyncio.gather(
        *(replay(doors[door], color) for replay, door, color in wanted), return_exceptions=True
    )
    told = {
        f"{replay.__name__} {door} {color:06x}": answer
        if isinstance(answer, BaseException)
        else color_of(answer) == color
        for (replay, door, color), answer in zip(wanted, found, strict=True)
    }
    assert told == dict.fromkeys(told, True)


# -- krita-ai-diffusion -------------------------------------------------------------------------


class Krita:
    """Its networking: one socket, ids of its own, results as frames, its first job is the one
    that it takes all messages for."""

    def __init__(self, place: Place, http: httpx.AsyncClient, socket: ClientConnection) -> None:
        self._place, self._http, self._socket = place, http, socket
        self.client_id = ""
        self.waiting: list[str] = []
        self.pictures: dict[str, list[bytes]] = {}
        self.ended: dict[str, str] = {}

    async def post(self, workflow: Json) -> str:
        prompt_id = str(uuid4())
        self.waiting.append(prompt_id)
        self.pictures[prompt_id] = []
        body = {"prompt": workflow, "client_id": self.client_id, "prompt_id": prompt_id}
        answer = await self._http.post(f"{self._place.url}/prompt", json=body)
        assert answer.json()["prompt_id"] == prompt_id, answer.text
        return prompt_id

    async def cancel(self, *waiting: str) -> None:
        body = {"delete": list(waiting)}
        assert (await self._http.post(f"{self._place.url}/queue", json=body)).is_success
        for prompt_id in waiting:
            self.waiting.remove(prompt_id)

    async def interrupt(self) -> None:
        assert (await self._http.post(f"{self._place.url}/interrupt", json={})).is_success

    async def read(self, until: str) -> None:
        """Messages, up to one of this type for its first job, or to all ends ("")."""
        async for event in events(self._socket):
            kind = self._noted(event)
            if kind == until or not (self.waiting or until):
                return

    def _noted(self, event: Json | bytes) -> str | None:
        if isinstance(event, bytes):
            kind, form = struct.unpack_from(">II", event)
            if (kind, form) == (1, 2):
                self.pictures[self.waiting[0]].append(event[8:])
            return None
        kind, data = event["type"], event["data"]
        if "prompt_id" not in data or data["prompt_id"] not in self.waiting:
            return None
        assert data["prompt_id"] == self.waiting[0], (kind, "of another job than its first")
        if kind in ("execution_interrupted", "execution_error"):
            self.ended[self.waiting[0]] = kind
        elif kind == "executing" and data["node"] is None:
            self.ended.setdefault(self.waiting.pop(0), "done")
        return kind


def to_socket(color: int) -> Json:
    saving = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}}
    return {**graph(color), "3": saving}


async def with_krita(place: Place, work: Any) -> None:
    client_id = str(uuid4())
    async with asking(place) as http:
        stats = (await http.get(f"{place.url}/system_stats")).json()
        device = stats["devices"][0]
        assert {"name", "type", "vram_total"} <= {*device}
        assert (await http.get(f"{place.url}/object_info")).is_success
        async with connect(
            f"{place.ws}?clientId={client_id}", additional_headers=place.headers, max_size=2**30
        ) as socket:
            krita = Krita(place, http, socket)
            krita.client_id = client_id
            await work(krita)


@pytest.mark.parametrize("door", [DIRECT, HEADER, PATH, PORT])
async def test_krita_gets_its_pictures_by_socket(doors: dict[str, Place], door: str) -> None:
    colors = [0x111111, 0x222222, 0x333333, 0x444444]

    async def work(krita: Krita) -> None:
        ids = [await krita.post(to_socket(color)) for color in colors]
        await krita.read(until="")
        assert [krita.ended[one] for one in ids] == ["done"] * len(ids)
        assert [[color_of(picture) for picture in krita.pictures[one]] for one in ids] == [
            [color] for color in colors
        ]

    await with_krita(doors[door], work)


@pytest.mark.parametrize("door", [DIRECT, HEADER, PATH, PORT])
async def test_krita_cancels_what_waits_and_what_runs(
    doors: dict[str, Place], demos: list[DemoServer], door: str
) -> None:
    for demo in demos:
        demo.knobs.step_seconds = 0.05

    async def work(krita: Krita) -> None:
        running = await krita.post(text_to_image(steps=1000))
        waiting, last = [await krita.post(to_socket(color)) for color in (1, 2)]
        await krita.read(until="progress")
        await krita.cancel(waiting)
        await krita.interrupt()
        await krita.read(until="")
        assert krita.ended == {running: "execution_interrupted", last: "done"}
        assert [color_of(picture) for picture in krita.pictures[last]] == [2]
        assert krita.pictures[waiting] == []

    await with_krita(doors[door], work)
