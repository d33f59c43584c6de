"""Events of native tasks on their way to the sockets of their clients."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.events.client_channels import Channel, Mailbox, Message
from app.services.submission_request import Submission
from app.settings import Settings
from app.tasks.native import NativePrompt, NativeRequest
from fake_comfyui.server import DemoServer
from tests.conftest import (
    WAIT,
    RunningGateway,
    keep_out,
    model_free,
    over,
    text_to_image,
    wait_until,
)
from tests.databases import database_url
from tests.redis_server import shared_settings

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
CLIENT = "client-1"


class Socket:
    """What a socket of the client is given."""

    def __init__(self, gateway: RunningGateway, mailbox: Mailbox) -> None:
        self.gateway = gateway
        self.mailbox = mailbox
        self.told: list[Message] = []

    async def until(self, wanted: Callable[[Message], bool]) -> Message:
        async with asyncio.timeout(WAIT):
            while True:
                if message := await self.mailbox.next(WAIT):
                    await self.note(message)
                    if wanted(message):
                        return message

    async def note(self, message: Message) -> None:
        if message.kind != "count":
            self.told.append(message)

    async def until_end(self) -> None:
        await self.until(lambda message: message.kind == "end")

    @property
    def types(self) -> list[str]:
        """Of what was told, without progress."""
        found = [type_of(one) for one in self.told]
        return [one for one in found if one not in ("progress", "progress_state", "preview")]


def type_of(message: Message) -> str:
    return json.loads(message.data)["type"] if message.kind == "text" else message.kind


def is_type(*types: str) -> Callable[[Message], bool]:
    return lambda message: type_of(message) in types


@contextmanager
def listening(gateway: RunningGateway, client: str = CLIENT) -> Iterator[Socket]:
    with gateway.gateway.channels.open(Channel(None, client), "") as mailbox:
        yield Socket(gateway, mailbox)


async def send(gateway: RunningGateway, workflow: Json, client: str | None = CLIENT) -> str:
    """Queue a native task; return its id."""
    native, request = NativePrompt(1.0, client), NativeRequest()
    submission = Submission(workflow, native=native, native_request=request)
    (queued,) = await gateway.gateway.submissions.submit(submission)
    return queued.task.task_id


def of_websocket(color: int = 7) -> Json:
    graph = model_free(color)
    graph["3"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}}
    return graph


async def test_all_of_a_run_in_order(gateway: RunningGateway, demo: DemoServer) -> None:
    with listening(gateway) as socket, listening(gateway, "other") as other:
        task_id = await send(gateway, text_to_image())
        await socket.until_end()
        assert await other.mailbox.next(0) is None or not other.told
    assert socket.types[:2] == ["execution_start", "execution_cached"]
    assert socket.types[-2:] == ["executed", "end"]
    assert set(socket.types[2:-2]) == {"executing"}
    assert {"progress", "progress_state"} <= {type_of(one) for one in socket.told}
    for one in socket.told:
        assert one.task_id == task_id
        if one.kind == "text":
            assert one.data.startswith(b'{"type":')
            assert json.loads(one.data)["data"]["prompt_id"] == task_id


@pytest.mark.parametrize("is_short", [False, True])
async def test_a_result_is_told_when_it_can_be_read(
    gateway: RunningGateway, is_short: bool
) -> None:
    """Short tasks write their start and results with their end."""
    for color in range(1 + 2 * is_short):
        await gateway.submit(model_free(color))

    with listening(gateway) as socket:
        task_id = await send(gateway, model_free(77))
        executed = await socket.until(is_type("executed"))
        (image,) = json.loads(executed.data)["data"]["output"]["images"]
        assert image["subfolder"] == task_id
        task = await gateway.task(task_id)
        assert [one["filename"] for one in task["outputs"]] == [image["filename"]]
        picture = await gateway.http.get(task["outputs"][0]["url"])
        assert picture.headers["content-type"] == "image/png"
        await socket.until_end()
    assert socket.types[0] == "execution_start"
    assert socket.types[-2:] == ["executed", "end"]


async def test_what_follows_waits_for_the_files(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.view_hangs = "first"
    graph = model_free(5, prefix="first")
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
    with listening(gateway) as socket:
        task_id = await send(gateway, graph)
        await wait_until(lambda: demo.records.execution(task_id).ended)
        await wait_until(lambda: gateway.gateway.dispatcher.progress_of(task_id))
        await asyncio.sleep(0)
        assert "end" not in socket.types
        demo.knobs.view_hangs = None
        await socket.until_end()
    assert sorted(socket.types).count("executed") == 2
    assert socket.types[-1] == "end"


async def test_results_over_the_socket_and_previews(
    settings_for: SettingsFor,
) -> None:
    async with (
        DemoServer(step_seconds=0.02, preview_method="latent2rgb") as demo,
        over(settings_for, demo) as gateway,
    ):
        with listening(gateway) as socket:
            task_id = await send(gateway, of_websocket())
            await socket.until_end()
            assert socket.types[-2:] == ["binary", "end"]
            image = next(one.data for one in socket.told if one.kind == "binary")
            assert image[:4] == b"\0\0\0\x04"
            assert task_id.encode() in image
            assert b"\x89PNG" in image
            await send(gateway, text_to_image(steps=3))
            shown = await socket.until(is_type("preview"))
            length = int.from_bytes(shown.data[4:8], "big")
            about = json.loads(shown.data[8 : 8 + length])
            assert about["image_type"] == "image/jpeg"
            await socket.until_end()
            assert "binary" not in [one.kind for one in socket.told[-2:]]


async def test_messages_of_node_packs_and_of_strangers(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    """What names no prompt belongs to the prompt that runs."""
    assert demo._machine is not None
    hub = demo._machine.hub
    measure = model_free(3)
    measure["4"] = {"class_type": "GetImageSize", "inputs": {"image": ["2", 0]}}
    measure["5"] = {"class_type": "PreviewAny", "inputs": {"source": ["4", 0]}}
    with listening(gateway) as socket:
        async with httpx.AsyncClient(base_url=f"http://{demo.address}") as stranger:
            body = {"prompt": measure, "client_id": "stranger"}
            assert (await stranger.post("/prompt", json=body)).status_code == 200
        await wait_until(lambda: len(demo.records.executed) == 1 and is_over(demo))
        task_id = await send(gateway, text_to_image(steps=1000))
        await socket.until(is_type("progress"))
        hub.send("pack.named", {"prompt_id": task_id})
        hub.send("pack.unnamed", {"a": [1]})
        hub.send("pack.foreign", {"prompt_id": "another"})
        hub.send_all(b"\0\0\0\x03\0\0\0\x013hello")
        hub.send_all(b"\0\0\0\x07other")
        hub.send("pack.last", {})
        await socket.until(is_type("pack.last"))
        await gateway.http.post(f"/api/task/{task_id}/cancel")
        await socket.until_end()
        hub.send_all(b"\0\0\0\x03\0\0\0\x013of a stranger")
        await send(gateway, model_free(9))
        await socket.until_end()
    told = [one for one in socket.told if type_of(one).startswith("pack") or one.kind == "binary"]
    assert [one.data for one in told] == [
        b'{"type": "pack.named", "data": {"prompt_id": "%s"}}' % task_id.encode(),
        b'{"type": "pack.unnamed", "data": {"a": [1]}}',
        b"\0\0\0\x03\0\0\0\x013hello",
        b"\0\0\0\x07other",
        b'{"type": "pack.last", "data": {}}',
    ]
    assert "execution_interrupted" not in socket.types


def is_over(demo: DemoServer) -> bool:
    return all(one.ended for one in demo.records.executed.values())


async def test_one_start_over_a_server_that_is_lost(settings_for: SettingsFor) -> None:
    async with (
        DemoServer(step_seconds=0.01) as first,
        DemoServer(step_seconds=0.01) as second,
        over(settings_for, first, second, server_grace=0.1) as gateway,
    ):
        with listening(gateway) as socket:
            task_id = await send(gateway, text_to_image(steps=200))
            await socket.until(is_type("progress"))
            lost = first if task_id in first.records.executed else second
            lost.restart_empty()
            await socket.until_end()
        task = await gateway.task(task_id)
        assert task["status"] == "succeeded"
        assert len(task["attempts"]) == 2
    assert socket.types.count("execution_start") == 1
    assert socket.types.count("execution_cached") == 2
    assert socket.types.count("executed") == 1
    assert socket.types[-1] == "end"


async def test_one_start_over_two_processes(url: str, settings_for: SettingsFor) -> None:
    async with (
        DemoServer(step_seconds=0.02) as demo,
        shared_settings(settings_for, url) as make,
    ):
        async with over(make, demo) as gateway:
            with listening(gateway) as socket:
                task_id = await send(gateway, text_to_image(steps=100))
                await socket.until(is_type("progress"))
            assert socket.types[0] == "execution_start"
        async with over(make, demo) as gateway:
            with listening(gateway) as socket:
                await socket.until_end()
            assert (await gateway.task(task_id))["status"] == "succeeded"
    assert "execution_start" not in socket.types
    assert "executed" in socket.types, "also if it was told to nobody"


@pytest.mark.service
async def test_sockets_at_two_replicas(settings_for: SettingsFor, tmp_path: Path) -> None:
    async with (
        DemoServer(step_seconds=0.01) as demo,
        database_url("postgresql", tmp_path) as url,
        shared_settings(settings_for, url) as make,
        over(make, demo) as one,
        over(make, demo) as other,
    ):
        keep_out(other)
        with listening(one) as here, listening(other) as there:
            channels = other.gateway.channels
            assert channels.carrier is not None
            async with asyncio.timeout(WAIT):
                await channels.carrier.listens(Channel(None, CLIENT))
            await send(other, text_to_image(steps=20))
            executed = await there.until(is_type("executed"))
            task = await other.task(executed.task_id)
            assert [one["type"] for one in task["outputs"]] == ["output"], "it can be read here"
            await there.until_end()
            await here.until_end()
    assert here.types == there.types
    assert here.types[0] == "execution_start"
    assert here.types[-2:] == ["executed", "end"]
