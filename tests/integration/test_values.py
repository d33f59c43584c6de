"""Values as clients really send them: lists of choices, and numbers as text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.config import Settings
from app.demo.catalogue import BUILT_IN
from app.demo.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


async def test_numbers_as_text(gateway: RunningGateway, demo: DemoServer) -> None:
    params = {"1.width": "24", "1.color": " 7 "}
    task = await gateway.submit(model_free(), params=params)
    assert task["params"] == {"1.width": 24, "1.color": 7}
    batch = await gateway.submit(model_free(), batch={"1.color": ["1", "2"]})
    assert [task["params"] for task in batch["tasks"]] == [{"1.color": 1}, {"1.color": 2}]
    form = {"workflow": json.dumps(model_free()), "params": json.dumps({"1.height": "40"})}
    answer = await gateway.http.post(
        f"{SUBMIT}?wait=20", files={name: (None, text) for name, text in form.items()}
    )
    assert answer.json()["params"] == {"1.height": 40}
    sent = [prompt.graph["1"]["inputs"] for prompt in demo.records.prompts]
    assert all(isinstance(value, int) for inputs in sent for value in inputs.values())
    refused = await gateway.http.post(
        SUBMIT, json={"workflow": model_free(), "params": {"1.width": "wide"}}
    )
    assert (refused.status_code, refused.json()["parameter"]) == (422, "1.width")


async def test_several_choices(settings_for: MakeSettings, tmp_path: Path) -> None:
    info = json.loads(BUILT_IN.read_bytes())
    several = ["COMBO", {"options": ["a", "b", "c"], "multiselect": True}]
    info["SaveImage"]["input"]["required"]["tags"] = several
    (tmp_path / "info.json").write_text(json.dumps(info))
    graph = model_free()
    graph["3"]["inputs"]["tags"] = {"__value__": ["a"]}
    async with (
        DemoServer(step_seconds=0, object_info=tmp_path / "info.json") as demo,
        run_gateway(settings_for(demo.address)) as gateway,
    ):
        await gateway.online()
        listed = (await gateway.http.post("/api/workflow/parameters", json=graph)).json()
        (tags,) = [p for p in listed["parameters"] if p["key"] == "3.tags"]
        assert (tags["value"], tags["multiselect"], tags["choices"]) == (
            ["a"],
            True,
            ["a", "b", "c"],
        )
        await gateway.submit(graph, params={"3.tags": ["b", "c"]})
        await gateway.submit(graph, batch={"3.tags": ["a", ["b"], {"__value__": ["a", "c"]}]})
        sent = [prompt.graph["3"]["inputs"]["tags"] for prompt in demo.records.prompts]
        assert sorted(sent) == [["a"], ["a", "c"], ["b"], ["b", "c"]]
