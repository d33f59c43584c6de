"""The official Python client of Comfy API v2 (comfy-sdk, unchanged) does its whole job here."""

import asyncio
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from comfy_sdk import AsyncComfy, Comfy
from comfy_sdk import exceptions as sdk
from comfy_sdk.events import OutputReady, Preview, Progress, StatusChange
from PIL import Image

from app.settings import Settings
from fake_comfyui import nodes
from fake_comfyui.nodes.call import Call, Result
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, text_to_image, wait_until
from tests.fleet import Gateway, on, stand_ins, starts_on
from tests.integration.test_files import png
from tests.receivers import Got, Reply, receiving

Json = dict[str, Any]


def loading(image: Any) -> Json:
    return {"class_type": "LoadImage", "inputs": {"image": image}}


HOP = ("content-length", "transfer-encoding", "connection")  # headers that a proxy makes anew
LOADING: Json = {
    "1": loading("none.png"),
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sdk"}},
}


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMFY_API_KEY", raising=False)


@pytest.fixture
def at(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> RunningGateway:
    monkeypatch.setenv("COMFY_BASE_URL", f"http://{gateway.address}")
    return gateway


def in_a_thread(work: Callable[[Comfy], Any]) -> Any:
    def call() -> Any:
        with Comfy() as client:
            return work(client)

    return asyncio.to_thread(call)


async def test_an_image_into_a_workflow(at: RunningGateway, tmp_path: Path) -> None:
    (tmp_path / "graph.json").write_text(json.dumps(LOADING), encoding="utf-8")
    (tmp_path / "photo.png").write_bytes(png((10, 20, 30), (48, 24)))

    def work(client: Comfy) -> None:
        workflow = client.workflows.from_file(tmp_path / "graph.json")
        photo = client.assets.from_file(tmp_path / "photo.png")
        workflow.set_input("1", "image", photo)
        job = client.run(workflow)
        assert photo.created_new
        (output,) = job.get_outputs("2")
        assert (output.type, output.content_type) == ("image", "image/png")
        path = output.to_file(tmp_path / "out.png")
        assert Image.open(io.BytesIO(path.read_bytes())).size == (48, 24)
        assert output.to_bytes(range=(0, 3)) == path.read_bytes()[:4]
        stream = io.BytesIO()
        assert output.to_stream(stream) == output.size_bytes
        assert output.get_download_url().url.endswith(f"/assets/{output.id}/content")

        again = client.assets.from_file(tmp_path / "photo.png")
        assert again.commit() == photo.id, "the bytes are here: nothing is sent"
        kept = client.assets.get(photo.id)
        assert (kept.hash, kept.file_path, kept.job_id) == (photo.hash, "photo.png", None)
        graph = job.get_workflow()
        assert graph.format == "api"
        assert client.run(client.workflows.from_json(graph.graph)).status == "succeeded"
        assert client.assets.get(output.id).job_id == job.id
        client.assets.delete(photo.id)
        with pytest.raises(sdk.NotFound):
            client.assets.get(photo.id)

    await in_a_thread(work)


async def test_live_events(at: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.04

    def work(client: Comfy) -> None:
        job = client.submit(client.workflows.from_json(text_to_image(steps=30)))
        events = list(job.events())
        statuses = [event.status for event in events if isinstance(event, StatusChange)]
        assert (statuses[0] in ("queued", "running"), statuses[-1]) == (True, "succeeded")
        steps = [event for event in events if isinstance(event, Progress) and event.steps]
        assert {event.steps for event in steps} == {30}
        previews = [event for event in events if isinstance(event, Preview)]
        assert previews[0].to_pil().format == "JPEG"
        assert events[-1] == StatusChange("succeeded"), "the terminal status ends it"
        (ready,) = [event for event in events if isinstance(event, OutputReady)]
        assert ready.output.to_bytes() == job.refresh().outputs[0].to_bytes()

    await in_a_thread(work)


# How ComfyUI's nodes name their results, and the type that clients should see.
EACH_KIND = {
    "a.png": ("images", "image"),
    "a.mp4": ("images", "video"),
    "a.webm": ("video", "video"),
    "a.flac": ("audio", "audio"),
    "a.glb": ("3d", "file"),
    "a.zip": ("files", "file"),
    "a.latent": ("latents", "latent"),
}


@pytest.fixture
def of_each_kind(demo: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """PreviewAny leaves a file of each kind, besides its text."""

    def preview(call: Call) -> Result:
        shown: Json = {"text": ("hello",)}
        for name, (key, _) in EACH_KIND.items():
            (call.folders.root / "output" / name).write_bytes(name.encode())
            entry = {"filename": name, "subfolder": "", "type": "output"}
            shown.setdefault(key, []).append(entry)
        return Result(("hello",), shown)

    monkeypatch.setitem(nodes._KNOWN, "PreviewAny", preview)


async def test_outputs_of_each_kind(at: RunningGateway, of_each_kind: None) -> None:
    graph = {"1": {"class_type": "PreviewAny", "inputs": {"source": "hello"}}}
    wanted = {name: (kind, name.encode()) for name, (_, kind) in EACH_KIND.items()}
    wanted["node1.txt"] = ("text", b"hello")

    def work(client: Comfy) -> None:
        job = client.run(client.workflows.from_json(graph))
        assert {each.name: (each.type, each.to_bytes()) for each in job.outputs} == wanted
        assert all(each.size_bytes == len(each.to_bytes()) for each in job.get_outputs("1"))

    await in_a_thread(work)
    async with AsyncComfy() as client:
        job = await client.run(client.workflows.from_json(graph))
        assert {each.name: (each.type, await each.to_bytes()) for each in job.outputs} == wanted


async def test_errors(at: RunningGateway, demo: DemoServer) -> None:
    def work(client: Comfy) -> None:
        unknown = client.workflows.from_json({"1": {"class_type": "Nope", "inputs": {}}})
        with pytest.raises(sdk.InvalidWorkflow) as refused:
            client.submit(unknown)
        assert refused.value.request_id
        assert refused.value.details["node_errors"]["1"]
        with pytest.raises(sdk.NotFound):
            client.jobs.get("nobody")
        workflow = client.workflows.from_json(model_free())
        job = client.submit(workflow, idempotency_key="once")
        with pytest.raises(sdk.IdempotencyKeyReuse):
            client.submit(workflow, idempotency_key="once")
        job.result()
        with pytest.raises(sdk.ComfyError) as invalid:
            client.submit(workflow, metadata={"not a key": "x"})
        assert invalid.value.code == "metadata_invalid"
        gone = {"__type": "core/ASSET", "info": {"id": "nobody"}}
        missing = client.workflows.from_json({**LOADING, "1": loading(gone)})
        with pytest.raises(sdk.MissingAsset):
            client.submit(missing)
        with pytest.raises(sdk.ComfyError) as refused_filter:
            list(client.list_jobs(metadata={"a b": "x"}))
        assert refused_filter.value.code == "invalid_metadata_filter"
        used = job.outputs[0].id
        with pytest.raises(sdk.ComfyError) as in_use:
            client.assets.delete(used)
        assert in_use.value.code == "asset_in_use"
        demo.knobs.fail_node = "ImageInvert"
        with pytest.raises(sdk.JobFailed) as failed:
            client.run(client.workflows.from_json(model_free(color=7)))
        assert failed.value.error.code == "node_execution_error"
        assert failed.value.error.node_id == "2"

    await in_a_thread(work)


async def test_cancel_and_list(at: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.2
    ours = await at.submit(text_to_image(steps=50), wait=0, metadata={"client": "acme"})

    def work(client: Comfy) -> None:
        workflow = client.workflows.from_json(text_to_image(steps=50, seed=2))
        job = client.submit(workflow, metadata={"client": "acme"}, api_key="sk-x")
        assert job.metadata == {"client": "acme"}
        for each in (job, client.jobs.get(ours["task_id"])):
            assert each.cancel().status in ("canceling", "canceled")
            assert each.wait(timeout=60).status == "canceled"
        wanted = [job.id, ours["task_id"]]
        for limit in (None, 1):
            assert [item.id for item in client.list_jobs(limit=limit)] == wanted
        found = list(client.list_jobs(metadata={"client": "acme"}))
        assert [item.id for item in found] == wanted
        assert all(item.create_time and item.update_time for item in found)
        assert list(client.list_jobs(metadata={"client": "other"})) == []

    await in_a_thread(work)


async def test_the_asynchronous_client(at: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.03
    async with AsyncComfy() as client:
        photo = client.assets.from_bytes(png((5, 5, 5)), filename="photo.png")
        workflow = client.workflows.from_json(json.loads(json.dumps(LOADING)))
        workflow.set_input("1", "image", photo)
        job = await client.run(workflow)
        assert len(await job.outputs[0].to_bytes()) == job.outputs[0].size_bytes
        live = await client.submit(client.workflows.from_json(text_to_image(steps=30)))
        events = [event async for event in live.events()]
        assert {type(event) for event in events} == {StatusChange, Progress, Preview, OutputReady}
        pictures = [event.to_pil() for event in events if isinstance(event, Preview)]
        assert {picture.format for picture in pictures} == {"JPEG"}
        slow = await client.submit(client.workflows.from_json(text_to_image(steps=500, seed=9)))
        await slow.cancel()
        assert (await slow.wait(timeout=60)).status == "canceled"
        listed = [item.id async for item in client.list_jobs(limit=2)]
        assert listed == [slow.id, live.id, job.id]
        with pytest.raises(sdk.NotFound):
            await client.jobs.get("nobody")
        await client.submit(workflow, idempotency_key="once", metadata={"client": "acme"})
        with pytest.raises(sdk.IdempotencyKeyReuse):
            await client.submit(workflow, idempotency_key="once")
        assert len([item async for item in client.list_jobs(metadata={"client": "acme"})]) == 1
        with pytest.raises(sdk.InvalidWorkflow):
            await client.submit(client.workflows.from_json({"1": {"class_type": "Nope"}}))
        demo.knobs.fail_node = "ImageInvert"
        with pytest.raises(sdk.JobFailed) as failed:
            await client.run(client.workflows.from_json(model_free()))
        assert failed.value.error.node_id == "2"


async def test_a_full_queue_is_waited_for(
    demo: DemoServer, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.knobs.step_seconds = 0.1
    async with run_gateway(settings_for(demo.address, max_queued=1, slots=1)) as gateway:
        await gateway.online()
        await gateway.submit(model_free())  # it is known how long to wait
        monkeypatch.setenv("COMFY_BASE_URL", f"http://{gateway.address}")

        def work(client: Comfy) -> None:
            graphs = [text_to_image(steps=3, seed=seed) for seed in range(3)]
            jobs = [client.submit(client.workflows.from_json(graph)) for graph in graphs]
            assert {job.wait(timeout=60).status for job in jobs} == {"succeeded"}

        await in_a_thread(work)


@asynccontextmanager
async def below(path: str, address: str) -> AsyncIterator[str]:
    """A proxy that serves what is at the address below a path; answers its own address."""
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as http:

        async def forward(got: Got) -> Reply:
            headers = {**got.headers, "x-forwarded-prefix": path}
            inner = got.path.removeprefix(path)
            answer = await http.request(got.method, inner, content=got.body, headers=headers)
            kept = {name: value for name, value in answer.headers.items() if name not in HOP}
            kept["connection"] = "close"
            return Reply(answer.status_code, answer.content, kept)

        async with receiving(forward) as proxy:
            yield proxy.url.removeprefix("http://")


async def test_behind_a_proxy_that_adds_a_path(
    gateway: RunningGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with below("/gpu", gateway.address) as address:
        monkeypatch.setenv("COMFY_BASE_URL", f"http://{address}/gpu")

        def work(client: Comfy) -> None:
            workflow = client.workflows.from_json(json.loads(json.dumps(LOADING)))
            workflow.set_input("1", "image", client.assets.from_bytes(png(), filename="a.png"))
            job = client.submit(workflow)
            assert list(job.events())[-1] == StatusChange("succeeded")
            (output,) = job.result().outputs
            url = output.get_download_url().url
            assert url == f"http://{address}/gpu/api/v2/assets/{output.id}/content"
            assert len(output.to_bytes()) == output.size_bytes
            assert job.cancel().status == "succeeded"

        await in_a_thread(work)


def patiently(client: Comfy) -> Any:
    """submit(), then polls. A poll of a gateway that is gone fails, so it is asked again, as any
    program that uses the client has to."""
    job = client.submit(client.workflows.from_json(text_to_image(steps=20)))
    while True:
        try:
            return job.result(), job.outputs[0].to_bytes()
        except sdk.ComfyError:
            raise
        except Exception:  # noqa: BLE001 (the connection, in whatever way it broke)
            continue


def run(client: Comfy) -> Any:
    """run() as it is. It bears that the gateway is away between two of its polls."""
    job = client.run(client.workflows.from_json(text_to_image(steps=20)))
    return job, job.outputs[0].to_bytes()


class Pauses:
    """Stands in for the `time` of the client: a pause between two polls lasts until we say so."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.hold, self.held, self.over = (threading.Event() for _ in range(3))

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
        if self.hold.is_set():
            self.held.set()
            assert self.over.wait(60)


@pytest.mark.parametrize("work", [patiently, run])
async def test_the_gateway_is_killed_in_the_middle_of_a_run(
    work: Callable[[Comfy], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses()
    if work is run:
        monkeypatch.setattr("comfy_sdk.jobs.time", pauses)
    async with (
        stand_ins(tmp_path, 1, step=0.1) as demos,
        Gateway(tmp_path, *on(demos)) as gateway,
    ):
        await gateway.online(1)
        monkeypatch.setenv("COMFY_BASE_URL", gateway.base)
        running = asyncio.create_task(in_a_thread(work))
        (task,) = await wait_until(gateway.tasks)
        await gateway.until(task["task_id"], "running")
        if work is run:
            pauses.hold.set()
            await wait_until(pauses.held.is_set)
        await gateway.kill()
        await gateway.start()
        pauses.over.set()
        job, content = await running
        assert job.id == task["task_id"]
        assert Image.open(io.BytesIO(content)).size == (64, 64)
        assert (await starts_on(demos))[job.id] == 1
