"""The page's files, in both schemas: links, reroutes, inputs."""

from typing import Any

from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node

LOAD = node(1, "Load", "b.ckpt", outputs=["MODEL", "CLIP"])
TUNE = node(2, "Tune", 1.0, inputs={"model": (1, "MODEL")}, outputs=["MODEL"])
SAMPLE = node(3, "Sample", inputs={"model": (2, "MODEL")})


TO_TUNE, TO_SAMPLE = [1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]


def chain(middle: Json, *links: Any) -> Json:
    return flow([LOAD, middle, SAMPLE], *(links or (TO_TUNE, TO_SAMPLE)))


def test_links_as_arrays() -> None:
    assert inputs_of(chain(TUNE), "3")["model"] == ["2", 0]


def test_links_as_objects_in_the_new_schema() -> None:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(keys, link, strict=True)) for link in (TO_TUNE, TO_SAMPLE)]
    reroutes = [{"id": 1, "parentId": 2, "linkIds": [1]}]  # native ones only bend the wire
    workflow = chain(TUNE) | {"links": links, "version": 1, "reroutes": reroutes}
    assert inputs_of(workflow, "2")["model"] == ["1", 0]
    assert inputs_of(workflow, "3")["model"] == ["2", 0]


def test_native_reroutes_of_the_old_schema_change_nothing() -> None:
    extra = {"reroutes": [{"id": 1, "linkIds": [2]}], "linkExtensions": [{"id": 2, "parentId": 1}]}
    assert inputs_of(chain(TUNE) | {"extra": extra}, "3")["model"] == ["2", 0]


def test_a_link_that_no_input_names_goes_by_number() -> None:
    sample = node(3, "Sample")
    assert inputs_of(flow([LOAD, TUNE, sample], TO_TUNE, TO_SAMPLE), "3")["model"] == ["2", 0]


def test_of_two_links_to_an_input_the_one_that_the_node_names_counts() -> None:
    other = node(4, "Load", outputs=["MODEL"])
    links = [[9, 4, 0, 3, 0, "MODEL"], TO_TUNE, TO_SAMPLE]
    assert inputs_of(flow([LOAD, TUNE, other, SAMPLE], *links), "3")["model"] == ["2", 0]
