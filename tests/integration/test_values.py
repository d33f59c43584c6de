"""Values as clients really send them: lists of choices, numbers as text, texts to fill in."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.settings import Settings
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway
from tests.unit.workflows.conversion.graphs import flow, node

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
        f"{SUBMIT}?wait=60", files={name: (None, text) for name, text in form.items()}
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
    (tmp_path / "info.json").write_text(json.dumps(info), encoding="utf-8")
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


async def test_texts_that_are_filled_in(gateway: RunningGateway, demo: DemoServer) -> None:
    """In UI format as the page does it, in API format where asked for; run by name and in forms."""
    graph, day = model_free(prefix="{a|a}"), "%date:yyyy-MM-dd%/%EmptyImage.color%"
    expected = re.compile(r"\d{4}-\d\d-\d\d/9")
    params = {"3.filename_prefix": day, "1.color": 9}
    plain = await gateway.submit(graph, params=params)
    assert plain["params"] == params
    asked = await gateway.submit(graph, params=params, fill_texts=True)
    assert expected.fullmatch(asked["params"]["3.filename_prefix"])
    batch = await gateway.submit(
        graph, params={"1.color": 9}, batch={"3.filename_prefix": [day, "z"]}, fill_texts=True
    )
    texts = [task["params"]["3.filename_prefix"] for task in batch["tasks"]]
    assert expected.fullmatch(texts[0])
    assert texts[1] == "z"
    kept = {"file": ("mine.json", json.dumps(graph))}
    assert (await gateway.http.post("/api/workflow/upload", files=kept)).status_code == 201
    body = {"params": params, "fill_texts": True}
    by_name = await gateway.http.post("/api/workflow/mine.json/run?wait=60", json=body)
    form = {"request": (None, json.dumps({"workflow": graph, **body}))}
    in_form = await gateway.http.post(f"{SUBMIT}?wait=60", files=form)
    for answer in (by_name, in_form):
        assert expected.fullmatch(answer.json()["params"]["3.filename_prefix"])
    page = flow(
        [
            node(1, "EmptyImage", 16, 16, 1, 9, outputs=["IMAGE"]),
            node(3, "SaveImage", "x", inputs={"images": 1}),
        ],
        [1, 1, 0, 3, 0, "IMAGE"],
    )
    convert = "/api/workflow/convert"
    for fill in ({}, {"fill_texts": False}):
        answer = await gateway.http.post(
            convert, json={"workflow": page, "params": {"filename_prefix": day}, **fill}
        )
        text = answer.json()["workflow"]["3"]["inputs"]["filename_prefix"]
        assert text == day if fill else expected.fullmatch(text)
