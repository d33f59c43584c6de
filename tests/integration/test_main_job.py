"""The main job, end to end over real sockets: submit, watch, get the picture."""

import io

from PIL import Image

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, text_to_image


async def test_a_picture_from_a_prompt(gateway: RunningGateway) -> None:
    task = await gateway.submit(text_to_image(), params={"6.text": "a bear", "3.seed": -1})

    assert task["status"] == "succeeded", task["error"]
    assert task["params"]["6.text"] == "a bear"
    assert 0 <= task["params"]["3.seed"] <= 2**53
    assert task["progress"]["value"] == 1
    assert task["attempts"][0]["outcome"] == "succeeded"
    (output,) = task["outputs"]
    assert (output["kind"], output["content_type"]) == ("image", "image/png")
    answer = await gateway.http.get(output["url"])
    assert answer.status_code == 200
    assert len(answer.content) == output["size_bytes"]
    assert Image.open(io.BytesIO(answer.content)).size == (64, 64)


async def test_a_raw_workflow_is_a_body(gateway: RunningGateway) -> None:
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=model_free())
    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"


async def test_the_prompt_runs_under_our_id_once(gateway: RunningGateway, demo: DemoServer) -> None:
    task = await gateway.submit(model_free())
    assert task["prompt_id"] == task["task_id"]
    assert [prompt.prompt_id for prompt in demo.records.prompts] == [task["task_id"]]
