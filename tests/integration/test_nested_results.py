"""What a node shows is a result, however deep its texts lie, and no warning says there was none."""

import json
from typing import Any

import pytest

from app.comfyui.results import FileResult, TextResult, results_of
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free

Json = dict[str, Any]
OBJECT = {"caption": "a red fox", "score": 0.5}
CAMERA = {"position": {"x": 1}, "cameraType": "perspective"}

SHOWN: list[tuple[Json, list[str]]] = [
    ({"text": [["a", "b"], ["c"]]}, ["a", "b", "c"]),
    ({"text": [["a cat", ""], "a dog", [["a fox"]]]}, ["a cat", "", "a dog", "a fox"]),
    ({"text": {"a": "b"}}, ['{"a": "b"}']),
    ({"text": [[1, "x"], 2.5]}, ['[1, "x"]', "2.5"]),
    ({"text": [{"a": 1}, "x"]}, ['{"a": 1}', "x"]),
    ({"result": [OBJECT]}, [json.dumps(OBJECT)]),
    ({"result": ["done", OBJECT]}, ["done", json.dumps(OBJECT)]),
    ({"captions": [["a", "b"], ["a"]], "count": [3]}, ["a", "b", "a"]),
    ({"mixed": [[OBJECT, 3]]}, [json.dumps([OBJECT, 3])]),
    ({"value": [5, 2.5]}, ["5", "2.5"]),
    ({"value": 5, "flag": [False]}, ["5", "false"]),
    ({"value": [0]}, ["0"]),
    ({"value": [[1, 2], [3]]}, ["[1, 2]", "[3]"]),
    ({"boxes": [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]}, ["[[1, 2, 3, 4]]", "[[5, 6, 7, 8]]"]),
    ({"size": {"width": 8}}, ['{"width": 8}']),
    ({"word": ["\u5b57", {"k": "\u5b57"}]}, ["\u5b57", '{"k": "\u5b57"}']),
]


@pytest.mark.parametrize(("said", "texts"), SHOWN)
async def test_what_a_node_shows_is_kept(
    gateway: RunningGateway, demo: DemoServer, said: Json, texts: list[str]
) -> None:
    graph = {"9": {"class_type": "PreviewAny", "inputs": {"source": "x"}}}
    demo.knobs.say = {"output": said, "outputs": {"9": said}}
    task = await gateway.submit(graph)
    assert task["status"] == "succeeded", task
    assert [output["text"] for output in task["outputs"]] == texts
    assert task["warnings"] == []


@pytest.mark.parametrize(
    "said", [{}, {"images": [{"filename": 3}]}, {"blob": ["x" * 200_000]}, {"text": None}]
)
async def test_a_warning_says_what_was_told(
    gateway: RunningGateway, demo: DemoServer, said: Json
) -> None:
    demo.knobs.say = {"output": said, "outputs": {"9": said}}
    task = await gateway.submit({"9": {"class_type": "PreviewAny", "inputs": {"source": "x"}}})
    [warning] = task["warnings"]
    assert ("told none of PreviewAny" in warning) is (said == {})
    assert ("told of PreviewAny is no file" in warning) is (said != {})


async def test_captions_stay_beside_their_pictures(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    graph = model_free()
    graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": "x"}}
    demo.knobs.say = {"text": [[OBJECT], ["second"]]}
    task = await gateway.submit(graph)
    told = [output.get("text") for output in task["outputs"] if output["node_id"] == "9"]
    assert told == [json.dumps(OBJECT), "second"] or told == [json.dumps([OBJECT]), "second"]


def texts_of(said: Json) -> list[tuple[str, bool]]:
    found = results_of("1", said)
    return [(one.text, one.is_item) for one in found if isinstance(one, TextResult)]


def test_numbers_beside_other_results_are_the_pages_own() -> None:
    file = {"filename": "a.png"}
    assert texts_of({"images": [file], "animated": [True], "width": [512]}) == []
    assert texts_of({"images": [{"filename": 3}], "animated": [True]}) == []
    assert texts_of({"text": ["x"], "width": [512], "box": [[1, 2]]}) == [("x", False)]
    assert texts_of({"images": [file], "note": [OBJECT]}) == [(json.dumps(OBJECT), False)]


def test_files_in_lists_in_lists() -> None:
    found = results_of("1", {"images": [[{"filename": "a.png"}], [{"filename": "b.png"}]]})
    assert [one.filename for one in found if isinstance(one, FileResult)] == ["a.png", "b.png"]
    assert len(found) == 2


def test_what_goes_with_a_model_is_no_text() -> None:
    assert texts_of({"result": ["mesh/a.glb", CAMERA, "background.png"]}) == []


def test_lists_deeper_than_anybody_reads() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert texts_of({"text": deep, "value": deep}) == [("x", False)] * 2
    for _ in range(50_000):
        deep = {"a": deep}
    assert texts_of({"text": ["y", deep]}) == [("y", False)]
