"""What no file can be called is refused for inputs that name one, and only there."""

from typing import Any

import pytest

from app.errors import InvalidParameter, InvalidWorkflow
from app.servers.core_nodes import core_node_types
from app.services.prepare import prepare, to_prompt, with_params
from app.workflows.checks.file_names import fault_of
from tests.conftest import text_to_image

BAD = {
    "the file itself": "iVBOR" + "A" * 17_000_000,
    "a long name": "x" * 252 + ".png",
    "in other letters": "狐" * 84 + ".png",
    "a long folder": f"{'x' * 256}/a.png",
    "too many folders": "a/" * 2100 + "a.png",
    "nul": "a\0.png",
    "a line": "a\n.png",
    "half a character": "a\ud800.png",
}


def graph(name: str = "example.png") -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("word", ["image", "1.image"])
@pytest.mark.parametrize("known", [True, False])
def test_in_params(case: str, word: str, known: bool) -> None:
    definitions = core_node_types() if known else {}
    with pytest.raises(InvalidParameter) as caught:
        prepare(graph(), [{word: BAD[case]}], definitions)
    assert caught.value.extra["parameter"] == word
    assert "data: URI" in str(caught.value.hint)
    assert len(caught.value.detail) < 500
    with pytest.raises(InvalidParameter):
        with_params(to_prompt(graph(), definitions), {word: BAD[case]}, definitions)


@pytest.mark.parametrize("case", BAD)
def test_in_the_graph(case: str) -> None:
    with pytest.raises(InvalidWorkflow) as caught:
        prepare(graph(BAD[case]), [{}], core_node_types())
    (error,) = caught.value.extra["node_errors"]["1"]["errors"]
    assert error["type"] == "unusable_file_name"
    assert len(str(caught.value.extra)) + len(caught.value.detail) < 2000
    (one,) = prepare(graph(BAD[case]), [{"image": "example.png"}], core_node_types())
    assert one.prompt["1"]["inputs"]["image"] == "example.png", "a parameter sets it right"


def test_one_of_a_batch() -> None:
    sets = [{"image": "example.png"}, {"image": BAD["a long name"]}]
    with pytest.raises(InvalidParameter):
        prepare(graph(), sets, core_node_types(), shared=True)


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".png", "a/" * 100 + "a.png", "狐" * 80 + ".png", "a [output]", "", "ü"]
)
def test_names_that_may_be(name: str) -> None:
    assert fault_of(name) is None


def test_texts_are_no_names() -> None:
    (one,) = prepare(text_to_image(text="a\nfox" * 5000), [{}], core_node_types())
    assert one.prompt
