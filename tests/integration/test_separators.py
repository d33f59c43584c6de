"""Model files in folders are one, whether a server lists them as Windows does or as others do."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from app.servers.inventory import each_once, merged, models
from app.services.prepare import prepare
from app.settings import Settings
from app.workflows.checks.separators import as_listed
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.suggestions import Guesses
from app.workflows.requirements import lack_of
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, over
from tests.unit.workflows.conversion.graphs import flow, node

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"
LINUX, WINDOWS = "sdxl/base_1.0.safetensors", "sdxl\\base_1.0.safetensors"
OTHERS = ["sd15/dreamshaper.safetensors", "flux/dev.safetensors"]


def graph(name: str) -> Json:
    """A picture through the VAE of a checkpoint."""
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "3": {"class_type": "VAEEncode", "inputs": {"pixels": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
    }


def page(name: str) -> Json:
    """The same as a file of the page."""
    return flow(
        [
            node(1, "CheckpointLoaderSimple", name, outputs=["MODEL", "CLIP", "VAE"]),
            node(2, "EmptyImage", 64, 64, 1, 0, outputs=["IMAGE"]),
            node(3, "VAEEncode", inputs={"pixels": 1, "vae": 2}, outputs=["LATENT"]),
            node(4, "VAEDecode", inputs={"samples": 3, "vae": 4}, outputs=["IMAGE"]),
            node(5, "SaveImage", "x", inputs={"images": 5}),
        ],
        [1, 2, 0, 3, 0, "IMAGE"],
        [2, 1, 2, 3, 1, "VAE"],
        [3, 3, 0, 4, 0, "LATENT"],
        [4, 1, 2, 4, 1, "VAE"],
        [5, 4, 0, 5, 0, "IMAGE"],
    )


def types(*names: str) -> Json:
    found: Json = json.loads(BUILT_IN.read_bytes())
    found["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"][0] = list(names)
    return found


@pytest.fixture
async def fleet(
    settings_for: MakeSettings, tmp_path: Path
) -> AsyncIterator[tuple[RunningGateway, dict[str, DemoServer]]]:
    (tmp_path / "linux.json").write_text(json.dumps(types(LINUX, *OTHERS)), encoding="utf-8")
    (tmp_path / "windows.json").write_text(
        json.dumps(types(WINDOWS, *(name.replace("/", "\\") for name in OTHERS))), encoding="utf-8"
    )
    async with (
        DemoServer(step_seconds=0, object_info=tmp_path / "linux.json") as linux,
        DemoServer(step_seconds=0, object_info=tmp_path / "windows.json") as windows,
        over(settings_for, linux, windows) as gateway,
    ):
        yield gateway, {LINUX: linux, WINDOWS: windows}


@pytest.mark.parametrize("sent", [LINUX, WINDOWS], ids=["linux", "windows"])
@pytest.mark.parametrize("make", [graph, page])
async def test_each_server_gets_its_own(
    fleet: tuple[RunningGateway, dict[str, DemoServer]], sent: str, make: Callable[[str], Json]
) -> None:
    gateway, servers = fleet
    other = OTHERS[0].replace("/", "\\") if sent == LINUX else OTHERS[0]
    for listed, server in servers.items():
        tasks = [
            await gateway.submit(make(sent), server=server.address),
            await gateway.submit(make(other), params={"1.ckpt_name": sent}, server=server.address),
        ]
        batch = await gateway.submit(
            make(other), batch={"1.ckpt_name": [sent, sent]}, server=server.address, wait=60
        )
        for task in [*tasks, *batch["tasks"]]:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], len(done["attempts"])) == ("succeeded", 1)
        got = [p.graph["1"]["inputs"]["ckpt_name"] for p in server.records.prompts]
        assert set(got) == {listed}
        detail = (await gateway.http.get(f"/api/servers/{server.address}")).json()
        assert detail["warm"] == [LINUX], "one file, however it is written"


async def test_both_servers_take_a_share(
    fleet: tuple[RunningGateway, dict[str, DemoServer]],
) -> None:
    gateway, servers = fleet
    batch = await gateway.submit(graph(WINDOWS), batch={"2.color": list(range(12))}, wait=60)
    done = [await gateway.until(task["task_id"], "succeeded") for task in batch["tasks"]]
    assert {attempt["outcome"] for task in done for attempt in task["attempts"]} == {"succeeded"}
    assert all(server.records.prompts for server in servers.values())


async def test_the_two_are_one_choice(
    fleet: tuple[RunningGateway, dict[str, DemoServer]],
) -> None:
    gateway, _ = fleet
    for name in (LINUX, WINDOWS):
        answer = await gateway.http.post("/api/workflow/parameters", json=graph(name))
        (found,) = [p for p in answer.json()["parameters"] if p["key"] == "1.ckpt_name"]
        assert len(found["choices"]) == 3
        assert found["value"] in found["choices"]


@pytest.mark.parametrize("make", [graph, page])
@pytest.mark.parametrize(
    "name", ["base_1.0.safetensors", "sdxl\\base_1.safetensors", "BASE_1.0.safetensors"]
)
async def test_a_name_that_is_near_gets_the_nearest(
    fleet: tuple[RunningGateway, dict[str, DemoServer]], name: str, make: Callable[[str], Json]
) -> None:
    gateway, _ = fleet
    for body in (
        {"workflow": make(name)},
        {"workflow": make(LINUX), "params": {"1.ckpt_name": name}},
    ):
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 422
        detail = answer.json()["detail"]
        assert LINUX in detail or repr(WINDOWS) in detail, detail


# -- the parts ----------------------------------------------------------------------------------


def test_nearest_files_are_found_in_other_folders() -> None:
    names = [f"a/very/long/way/to/some/{n}/model_{n}.safetensors" for n in range(50)]
    assert Guesses().near("model_7.safetensors", names) == [names[7]]
    assert Guesses().near("other\\model_7.safetensors", names) == [names[7]]


def test_what_is_listed_both_ways_is_sent_as_it_is() -> None:
    info = types(LINUX, WINDOWS)
    for name in (LINUX, WINDOWS):
        assert as_listed(graph(name), info) == graph(name)


def test_lists_and_texts() -> None:
    info: Json = {
        "A": {
            "input": {
                "required": {
                    "several": ["COMBO", {"options": ["x\\a.pt", "b"], "multiselect": True}],
                    "text": ["STRING", {}],
                    "image": [["x\\a.png"], {"image_upload": True}],
                }
            }
        }
    }
    inputs = {"several": {"__value__": ["b", "x/a.pt"]}, "text": "x/a.pt", "image": "x/a.png"}
    prompt = {"1": {"class_type": "A", "inputs": inputs}}
    found = as_listed(prompt, info)
    assert found["1"]["inputs"] == {**inputs, "several": {"__value__": ["b", "x\\a.pt"]}}
    assert prompt["1"]["inputs"] == inputs
    changed, _ = apply_params(prompt, {"1.several": ["x/a.pt"]}, info)
    assert changed["1"]["inputs"]["several"] == {"__value__": ["x\\a.pt"]}


def test_needs_and_shapes_are_one() -> None:
    ready = [prepare(graph(name), [{}], types(LINUX))[0] for name in (LINUX, WINDOWS)]
    assert [one.shape for one in ready] == [ready[0].shape] * 2
    assert ready[0].requirements.needs.models == ready[1].requirements.needs.models
    for one in ready:
        assert not lack_of(one.requirements.needs, types(WINDOWS))


def test_choices_of_a_mixed_fleet() -> None:
    found = merged([types(LINUX, "a"), types(WINDOWS, "b\\c")])
    loader = found["CheckpointLoaderSimple"]["input"]["required"]["ckpt_name"]
    assert loader[0] == [LINUX, "a", "b\\c"]
    assert merged([types(WINDOWS), types(LINUX)]) == types(WINDOWS)


def test_names_of_a_mixed_fleet() -> None:
    assert each_once(["b", WINDOWS, "a", LINUX, "b"]) == ["a", "b", LINUX]
    assert each_once([WINDOWS]) == [WINDOWS]


async def test_models_of_a_mixed_fleet() -> None:
    class Client:
        def __init__(self, *names: str) -> None:
            self.names = names

        async def models(self, folder: str) -> list[str]:
            return list(self.names)

    class Server:
        def __init__(self, *names: str) -> None:
            self.client = Client(*names)

    servers: Any = [Server(LINUX, "a"), Server(WINDOWS, "b\\c")]
    assert await models(servers, "checkpoints") == {"checkpoints": ["a", "b\\c", LINUX]}
