"""How clients of ComfyUI's own protocol are told the names of files."""

import copy
from typing import Any

import pytest

from app.comfyui.results import FileResult, results_of
from app.tasks.native_names import named_for_clients
from tests.unit import recordings

TASK = "0b0f3b6e-6f4e-4f7e-9f57-1d4c6a6f9d10"
STAGED = f"gw-{'0' * 8}-{'1' * 32}.png"


@pytest.mark.parametrize("version", recordings.VERSIONS)
def test_each_file_is_named_below_its_task(version: str) -> None:
    """Whatever a real server names, and whatever the gateway fetches of that."""
    files = 0
    for _, entry in recordings.histories(version):
        for node_id, output in entry["outputs"].items():
            before = copy.deepcopy(output)
            told = named_for_clients(TASK, output)
            assert output == before, "what is given is not changed"
            was = [one for one in results_of(node_id, output) if isinstance(one, FileResult)]
            now = [one for one in results_of(node_id, told) if isinstance(one, FileResult)]
            expected = [f"{TASK}/{one.subfolder}".rstrip("/") for one in was]
            assert [one.subfolder for one in now] == expected
            assert [one.filename for one in now] == [one.filename for one in was]
            files += len(was)
    assert files > 50


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            {"images": [{"filename": "a.png", "subfolder": "x/y", "type": "temp", "id": 3}]},
            {
                "images": [
                    {"filename": "a.png", "subfolder": f"{TASK}/x/y", "type": "temp", "id": 3}
                ]
            },
        ),
        ({"gifs": [[{"filename": "a"}]]}, {"gifs": [[{"filename": "a", "subfolder": TASK}]]}),
        ({"a": {"b": {"filename": "c"}}}, {"a": {"b": {"filename": "c", "subfolder": TASK}}}),
        ({"images": [{"filename": 5, "subfolder": "x"}]}, None),
        ({"text": ["a.png"], "animated": [True], "n": [1.5, None]}, None),
        ({"result": ["3d/mesh.glb", None, {}]}, {"result": [f"{TASK}/3d/mesh.glb", None, {}]}),
        ({"result": ["a sentence", "/etc/x.glb", "../x.glb"]}, None),
        (None, None),
        ({}, None),
    ],
)
def test_files_are_found_wherever_they_stand(output: Any, told: Any) -> None:
    assert named_for_clients(TASK, output) == (output if told is None else told)


def test_uploads_have_the_names_that_the_client_gave_them() -> None:
    output = {
        "text": [f"input/{STAGED}", f"gw-{'2' * 8}-{'3' * 32}.png"],
        "images": [{"filename": STAGED, "subfolder": "", "type": "input"}],
    }
    assert named_for_clients(TASK, output, {STAGED: "cat.png"}) == {
        "text": ["input/cat.png", "(an upload)"],
        "images": [{"filename": "cat.png", "subfolder": "", "type": "input"}],
    }


def test_deep_nesting() -> None:
    deep: Any = {"filename": "a.png"}
    for _ in range(20_000):
        deep = [deep]
    told = named_for_clients(TASK, {"images": deep})["images"]
    while isinstance(told, list):
        (told,) = told
    assert told["subfolder"] == TASK
