"""Files in prompts as ComfyUI names them: uploads in folders, and files of the caller's tasks."""

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.integration.test_native_files import kept, png, shown
from tests.keyholders import Guarded, guarded

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
RED = 0xFF0000


def load(name: str) -> Json:
    """A graph that saves a file as it is, and shows it as a temporary one."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


def red(prefix: str = "sub/red") -> Json:
    graph = model_free(RED, prefix=prefix)
    graph["3"]["inputs"]["images"] = ["1", 0]
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    return graph


async def ran(http: httpx.AsyncClient, prompt: Json) -> Json:
    """The entry in the history of a prompt that is posted."""
    answer = await http.post("/prompt", json={"prompt": prompt})
    assert answer.status_code == 200, answer.text
    prompt_id = answer.json()["prompt_id"]

    async def entry() -> Json | None:
        found: Json = (await http.get(f"/history/{prompt_id}")).json()
        return found.get(prompt_id)

    found: Json = await wait_until(entry)
    assert found["status"]["status_str"] == "success", found["status"]
    return found


async def color_of(http: httpx.AsyncClient, entry: Json) -> Any:
    answer = await shown(http, entry["outputs"]["2"]["images"][0])
    return Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((0, 0))


@pytest.fixture
async def gateway(settings_for: SettingsFor) -> AsyncIterator[RunningGateway]:
    """Over two servers: what one has made is wanted on the other one."""
    async with (
        DemoServer(step_seconds=0) as one,
        DemoServer(step_seconds=0) as two,
        over(settings_for, one, two) as running,
    ):
        yield running


async def test_uploads_are_named_as_comfyui_names_them(gateway: RunningGateway) -> None:
    http = gateway.http
    await kept(http, "plain.png", png("red", "RGB"))
    await kept(http, "in.png", png("red", "RGB"), subfolder="SDN/x")
    await kept(http, "t.png", png("red", "RGB"), type="temp", subfolder="webcam")
    await kept(http, "o.png", png("red", "RGB"), type="output")
    names = (
        *("plain.png", "plain.png [input]", "SDN/x/in.png", "SDN/x/in.png [input]"),
        *("webcam/t.png [temp]", "o.png [output]"),
    )
    for name in names:
        entry = await ran(http, load(name))
        assert await color_of(http, entry) == (255, 0, 0), name
        assert "gw-" not in str(entry), "what it is called on a server"
        again = entry["prompt"][2]["1"]["inputs"]["image"]
        assert await color_of(http, await ran(http, load(again))) == (255, 0, 0), again
        task = await gateway.submit(load(name))
        assert task["status"] == "succeeded", (name, task["error"])


async def test_files_of_tasks_are_inputs_of_others_on_any_server(gateway: RunningGateway) -> None:
    http = gateway.http
    outputs = (await ran(http, red()))["outputs"]
    saved, shown_one = outputs["3"]["images"][0], outputs["4"]["images"][0]
    for image in (saved, shown_one):
        name = f"{image['subfolder']}/{image['filename']} [{image['type']}]"
        for server in gateway.gateway.pool:
            task = await gateway.submit(load(name), server=server.id)
            assert task["status"] == "succeeded", (name, task["error"])
        entry = await ran(http, load(name))
        assert await color_of(http, entry) == (255, 0, 0), name
        assert "gw-" not in str(entry)
    wrong = f"{saved['subfolder']}/nope.png [output]"
    answer = await http.post("/prompt", json={"prompt": load(wrong)})
    assert answer.status_code == 400
    assert "nope.png" in answer.text


@pytest.fixture
async def gate(
    settings_for: SettingsFor, tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    async with guarded(settings_for, tmp_path, demo, keys={"alice": "run", "bob": "run"}) as found:
        yield found


async def test_files_of_another_key_are_no_inputs(gate: Guarded, demo: DemoServer) -> None:
    alice, bob = await gate.client("alice"), await gate.client("bob")
    await kept(alice, "hers.png", png(), subfolder="SDN")
    await kept(alice, "t.png", png(), type="temp")
    outputs = (await ran(alice, red()))["outputs"]
    before = len(demo.records.prompts)
    images = [outputs[node]["images"][0] for node in ("3", "4")]
    names = [f"{one['subfolder']}/{one['filename']} [{one['type']}]" for one in images]
    names += [f"{one['filename']} [{one['type']}]" for one in images]
    names += ["t.png [temp]", "SDN/../../keys/alice/x.png", "../output/x.png [input]"]
    for name in names:
        answer = await bob.post("/prompt", json={"prompt": load(name)})
        assert answer.status_code == 400, name
        body = {"workflow": load(name)}
        assert (await bob.post("/api/workflow/submit", json=body)).status_code == 422, name
    assert len(demo.records.prompts) == before
    for name in (*names[:2], "t.png [temp]", "SDN/hers.png"):
        await ran(alice, load(name))
