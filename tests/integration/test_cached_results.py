"""Results that ComfyUI's cache would have hold this run's data, and not that of an equal one."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from app.runner.cache_marks import marked, writes_data
from app.settings import Settings
from app.workflows.formats import RUN_MARK, unwrap
from fake_comfyui.server import DemoServer
from tests.conftest import model_free
from tests.integration.test_extra_data import page
from tests.keyholders import guarded

Json = dict[str, Any]
MARKER = "ZQalicesQZ"
SUBMIT = "/api/workflow/submit?wait=60"
KEYS = {"alice": "run", "bob": "run"}


def titled(title: str, *, more: bool = False) -> Json:
    graph = model_free(7, prefix="shared")
    for node in graph.values():
        node["_meta"] = {"title": title}
    if more:
        graph |= {f"{title}{id}": node for id, node in branch(title).items()}
    return graph


def branch(title: str) -> Json:
    """Another output, with nodes of its own."""
    empty = {"width": 16, "height": 16, "batch_size": 1, "color": 3}
    return {
        "1": {"class_type": "EmptyImage", "inputs": empty},
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": [f"{title}1", 0], "filename_prefix": f"{title}-other"},
        },
    }


async def pictures(http: httpx.AsyncClient, body: Json) -> list[str]:
    """What stands in the pictures that a run makes."""
    task = (await http.post(SUBMIT, json=body)).json()
    assert task["status"] == "succeeded", task
    found = []
    for output in task["outputs"]:
        content = (await http.get(output["url"])).content
        found.append(str(Image.open(io.BytesIO(content)).info))
    assert found
    return found


PAGE = {"extra_data": {"extra_pnginfo": {"workflow": page(note=MARKER), "customer": MARKER}}}


@pytest.mark.parametrize(
    ("alices", "bobs"),
    [
        ({"workflow": titled("x"), **PAGE}, {"workflow": titled("x")}),
        ({"workflow": titled(MARKER)}, {"workflow": titled("x")}),
        ({"workflow": titled(MARKER, more=True)}, {"workflow": titled("x")}),
        ({"workflow": page(7, "a", MARKER)}, {"workflow": page(7, "a", "x")}),
        ({"workflow": page(7, "a", MARKER)}, {"workflow": page(7, "a"), "embed_workflow": False}),
    ],
)
async def test_another_run_of_an_equal_graph(
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    demo: DemoServer,
    alices: Json,
    bobs: Json,
) -> None:
    async with guarded(settings_for, tmp_path, demo, keys=KEYS) as gate:
        alice, bob = await gate.client("alice"), await gate.client("bob")
        assert any(MARKER in said for said in await pictures(alice, alices))
        for said in await pictures(bob, bobs):
            assert MARKER not in said
            assert ("'workflow'" in said) is ("nodes" in bobs["workflow"] and len(bobs) == 1)
        assert any(MARKER in said for said in await pictures(alice, alices))


SAVING: Json = {"input": {"hidden": {"prompt": "PROMPT"}}, "output_node": True}
TYPES: Json = {
    "SaveImage": SAVING,
    "EmptyImage": {"input": {"required": {}}, "output_node": False},
    "ImageInvert": {"input": {"hidden": {"p": "PROMPT"}}, "output_node": False},
}


def test_what_is_sent() -> None:
    graph = model_free()
    first = marked(graph, {}, (), TYPES)
    assert first == marked(graph, {}, (), TYPES), "an equal run may come from the cache"
    changed = {
        (node_id, name)
        for node_id, node in first.items()
        for name in node["inputs"].keys() - graph[node_id]["inputs"].keys()
    }
    assert changed == {("3", RUN_MARK)}
    assert unwrap(first)[1] == graph, "a workflow out of a picture has none"
    assert unwrap({"prompt": [1, "id", first, {}, []]})[1] == graph
    own = {"3": {"class_type": "SaveImage", "inputs": {RUN_MARK: "mine"}}}
    assert unwrap(own)[1] is own or unwrap(own)[1] == own
    others = [
        marked(graph, {"extra_pnginfo": {"a": 1}}, (), TYPES),
        marked({**graph, "9": graph["1"]}, {}, (), TYPES),
    ]
    marks = [one["3"]["inputs"][RUN_MARK] for one in (first, *others)]
    assert len(set(marks)) == 3
    assert marked(graph, {"other": 1}, (), TYPES) == first
    assert marked(graph, {}, (), {}) == graph


@pytest.mark.parametrize(
    ("hidden", "writes"),
    [
        ({"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}, True),
        ({"extra": ["EXTRA_PNGINFO"]}, True),
        ({"id": "UNIQUE_ID"}, False),
        ({"a": [], "b": None, "c": [["PROMPT"]], "d": {"PROMPT": 1}, "e": 5}, False),
        ([], False),
    ],
)
def test_node_types_as_servers_tell_them(hidden: Any, writes: bool) -> None:
    assert writes_data({"input": {"hidden": hidden}}) is writes
    assert not writes_data(None)
