"""What ComfyUI would refuse is refused before it is queued, in its own shape; what it would run is
run, whatever is wrong beside it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, run_gateway, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


def with_inputs(prompt: Json, node_id: str, **inputs: Any) -> Json:
    changed = copy.deepcopy(prompt)
    changed[node_id]["inputs"].update(inputs)
    return changed


def without_input(prompt: Json, node_id: str, name: str) -> Json:
    changed = copy.deepcopy(prompt)
    del changed[node_id]["inputs"][name]
    return changed


FAULTS: dict[str, tuple[Json, str, str, str]] = {
    "a choice that is none": (
        with_inputs(text_to_image(), "3", sampler_name="euler_a"),
        *("3", "value_not_in_list", "'euler_ancestral'"),
    ),
    "no model": (
        without_input(text_to_image(), "3", "model"),
        *("3", "required_input_missing", "model"),
    ),
    "too small": (
        with_inputs(model_free(), "1", width=-5),
        *("1", "value_smaller_than_min", "Value -5 smaller than min of 1 (width)"),
    ),
    "too large": (with_inputs(text_to_image(), "3", cfg=1e6), "3", "value_bigger_than_max", "cfg"),
    "no number": (with_inputs(model_free(), "1", width="wide"), "1", "invalid_input_type", "wide"),
    "a link of another type": (
        with_inputs(text_to_image(), "3", latent_image=["6", 0]),
        *("3", "return_type_mismatch", "received_type(CONDITIONING)"),
    ),
    "a list that is no link": (
        with_inputs(model_free(), "1", width=[1, 2, 3]),
        *("1", "bad_linked_input", "width"),
    ),
    "an output that is not there": (
        with_inputs(model_free(), "2", image=["1", 7]),
        *("2", "exception_during_inner_validation", "index out of range"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_it_is_named_at_once(gateway: RunningGateway, demo: DemoServer, name: str) -> None:
    """While the server is busy, in words, and as node_errors that say what ComfyUI's own do."""
    prompt, node_id, kind, words = FAULTS[name]
    demo.knobs.stall = True
    await gateway.http.post(SUBMIT, json=model_free())
    await wait_until(lambda: demo.records.prompts)
    answer = await gateway.http.post(SUBMIT, json={"workflow": prompt})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid_workflow"
    assert words in problem["detail"], problem
    assert f"'{node_id}'" in problem["detail"]
    assert [error["type"] for error in problem["node_errors"][node_id]["errors"]] == [kind]
    comfyui = await gateway.http.post(f"http://{demo.address}/prompt", json={"prompt": prompt})
    assert comfyui.status_code == 400
    assert problem["node_errors"] == comfyui.json()["node_errors"]
    assert len((await gateway.http.get("/api/tasks")).json()["tasks"]) == 1


async def test_all_ways_to_queue_it(gateway: RunningGateway) -> None:
    bad = with_inputs(model_free(), "1", width=0)
    files = {"file": ("bad.json", json.dumps(bad))}
    saved = await gateway.http.post("/api/workflow/upload", files=files)
    assert saved.status_code == 201, saved.text
    for body in (
        {"prompt": bad},
        {"workflow": bad, "params": {"1.height": 8}},
        {"filename": "bad.json"},
        {"workflow": bad, "batch": {"1.color": [1, 2]}},
    ):
        answer = await gateway.http.post(SUBMIT, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_workflow"), body
        assert set(answer.json()["node_errors"]) == {"1"}
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_a_value_of_a_batch_that_mends_the_fault(gateway: RunningGateway) -> None:
    bad = with_inputs(model_free(), "1", width=0)
    answer = await gateway.http.post(SUBMIT, json={"workflow": bad, "batch": {"1.width": [8, 16]}})
    assert answer.status_code == 202, answer.text


async def test_what_only_the_server_can_know_is_left_to_it(gateway: RunningGateway) -> None:
    """LoadImage looks at its folder, whatever its choices were when the gateway asked."""
    prompt = model_free()
    prompt["1"] = {"class_type": "LoadImage", "inputs": {"image": "away.png"}}
    task = await gateway.submit(prompt)
    assert (task["status"], task["error"]["code"]) == ("failed", "invalid_workflow")
    assert "Invalid image file: away.png" in task["error"]["message"]


async def test_a_good_output_beside_a_bad_one(gateway: RunningGateway) -> None:
    prompt = model_free()
    prompt["4"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
    task = await gateway.submit(prompt)
    assert (task["status"], len(task["outputs"])) == ("succeeded", 1)
    assert "Required input is missing (images)" in " ".join(task["warnings"])


LEFT_OUT: dict[str, Json] = {
    "at the output": {"5": {"class_type": "SaveImage", "inputs": {"images": ["77", 0]}}},
    "behind it": {
        "5": {"class_type": "SaveImage", "inputs": {"images": ["6", 0]}},
        "6": {"class_type": "ImageInvert", "inputs": {"image": ["77", 0]}},
    },
}


@pytest.mark.parametrize("name", LEFT_OUT)
async def test_an_output_that_is_linked_to_nowhere_beside_a_good_one(
    gateway: RunningGateway, name: str
) -> None:
    more = LEFT_OUT[name]
    more["5"]["inputs"].setdefault("filename_prefix", "x")
    task = await gateway.submit({**model_free(), **more})
    assert (task["status"], len(task["outputs"])) == ("succeeded", 1)
    assert "'77', which is not in the workflow" in " ".join(task["warnings"])
    answer = await gateway.http.post(SUBMIT, json={"workflow": more})
    assert answer.status_code == 422, "there is no other output"
    # In an input that the class does not know it would end ComfyUI's worker.
    more = {**model_free(), **more}
    more["2"] = {**more["2"], "inputs": {**more["2"]["inputs"], "unheard_of": ["77", 0]}}
    assert (await gateway.http.post(SUBMIT, json={"workflow": more})).status_code == 422


UNUSED: dict[str, tuple[Json, str]] = {
    "a link to nowhere": (
        {"5": {"class_type": "ImageInvert", "inputs": {"image": ["77", 0]}}},
        "'77', which is not in the workflow",
    ),
    "such a link at a seed": (
        {"5": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["77", 0]}}},
        "'77', which is not in the workflow",
    ),
    "a cycle": (
        {
            "5": {"class_type": "ImageInvert", "inputs": {"image": ["6", 0]}},
            "6": {"class_type": "ImageInvert", "inputs": {"image": ["5", 0]}},
        },
        "The links form a cycle",
    ),
    "a cycle of a seed": (
        {
            "5": {"class_type": "PrimitiveInt", "inputs": {"value": ["6", 0]}},
            "6": {"class_type": "PrimitiveInt", "inputs": {"value": ["5", 0]}},
            "7": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["5", 0]}},
        },
        "The links form a cycle",
    ),
    "values": ({"5": {"class_type": "EmptyImage", "inputs": {"width": -1}}}, ""),
    "a number without end": ({"5": {"class_type": "EmptyImage", "inputs": {"width": "inf"}}}, ""),
    "types": ({"5": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0]}}}, ""),
}


@pytest.mark.parametrize("name", UNUSED)
async def test_a_fault_that_no_output_needs(gateway: RunningGateway, name: str) -> None:
    nodes, warning = UNUSED[name]
    prompt = {**model_free(), **nodes}
    task = await gateway.submit(prompt, params={"3.filename_prefix": "it"})
    assert task["status"] == "succeeded", task["error"]
    assert warning in " ".join(task["warnings"])
    assert bool(task["warnings"]) == bool(warning)
    described = await gateway.http.post("/api/workflow/convert", json={"workflow": prompt})
    assert described.status_code == 200, described.text


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"class_type": "ImageInvert"}, "no inputs"),  # kills ComfyUI's worker
        ({"class_type": "ImageInvert", "inputs": []}, "no inputs"),
        ({"inputs": {}}, "no class_type"),
        ({"class_type": "Nope", "inputs": {}}, "'Nope'"),
    ],
)
async def test_what_comfyui_cannot_bear_anywhere(
    gateway: RunningGateway, node: Json, words: str
) -> None:
    answer = await gateway.http.post(SUBMIT, json={"workflow": {**model_free(), "5": node}})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


async def test_one_server_that_takes_it_is_enough(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    """Servers of several versions: each has its own limits. The faults told are the fewest."""
    types = json.loads(BUILT_IN.read_bytes())
    types["EmptyImage"]["input"]["required"]["width"][1]["max"] = 100
    types["EmptyImage"]["input"]["required"]["new"] = ["INT", {"default": 1}]
    (tmp_path / "other.json").write_text(json.dumps(types), encoding="utf-8")
    async with (
        DemoServer(step_seconds=0, object_info=tmp_path / "other.json") as newer,
        DemoServer(step_seconds=0) as older,
        over(settings_for, newer, older) as gateway,
    ):
        taken = await gateway.http.post(SUBMIT, json={"workflow": model_free(size=200)})
        assert taken.status_code == 202, taken.text
        wanted = {"workflow": model_free(size=200), "server": newer.address}
        problem = (await gateway.http.post(SUBMIT, json=wanted)).json()
        errors = problem["node_errors"]["1"]["errors"]
        assert [error["type"] for error in errors] == [
            "value_bigger_than_max",
            "required_input_missing",
        ]
        bad = with_inputs(model_free(size=200), "1", height=0)
        problem = (await gateway.http.post(SUBMIT, json={"workflow": bad})).json()
        assert problem["nearest_server"] in (older.address, newer.address)
        assert problem["node_errors"]["1"]["errors"]


async def test_a_retry_of_what_would_fail_again(settings_for: MakeSettings) -> None:
    """A task that was queued before its server told what it takes."""
    bad = with_inputs(model_free(), "1", width=0)
    async with DemoServer(step_seconds=0) as demo:
        demo.knobs.hang = True
        async with run_gateway(settings_for(demo.address)) as gateway:
            queued = (await gateway.http.post(SUBMIT, json={"workflow": bad})).json()
            demo.knobs.hang = False
            task = await gateway.until(queued["task_id"], "failed")
            assert task["error"]["code"] == "invalid_workflow"
            again = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
            assert (again.status_code, again.json()["code"]) == (422, "invalid_workflow")
            assert set(again.json()["node_errors"]) == {"1"}
