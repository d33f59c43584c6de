"""What a prompt needs of a server, and what a server lacks."""

import json

import pytest

from app.workflows.requirements import Needs, Refusal, lack_of, needs_of, shape_of
from tests.conftest import model_free, text_to_image

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


# -- what is needed -----------------------------------------------------------------------------
def test_needs_are_node_types_and_model_files() -> None:
    needs = needs_of(text_to_image())
    assert needs.classes >= {"KSampler", "SaveImage"}
    assert needs.models == {CHECKPOINT}
    assert Needs.load(needs.dump()) == needs
    assert needs_of(model_free()).files == frozenset()


@pytest.mark.parametrize(
    ("definition", "lacking"),
    [
        ([[CHECKPOINT], {}], 0),
        ([["other.safetensors"], {}], 1),
        (["COMBO", {"options": ["other.safetensors"]}], 1),
        (["COMBO", {"options": [CHECKPOINT]}], 0),
        (["STRING", {}], 0),
        ([["other.safetensors"], {"image_upload": True}], 0),
    ],
)
def test_a_file_is_lacking_if_the_choices_do_not_name_it(
    definition: list[object], lacking: int
) -> None:
    types = {name: {"input": {}} for name in needs_of(text_to_image()).classes}
    types["CheckpointLoaderSimple"] = {"input": {"required": {"ckpt_name": definition}}}
    lack = lack_of(needs_of(text_to_image()), types)
    assert len(lack) == lacking
    assert (CHECKPOINT in str(lack)) is bool(lacking)


def test_lacking_node_types() -> None:
    assert lack_of(needs_of(model_free()), {"SaveImage": {}}).classes == (
        "EmptyImage",
        "ImageInvert",
    )


def test_the_shape_is_the_cost() -> None:
    shape = shape_of(text_to_image())
    assert shape == shape_of(text_to_image(seed=9, text="a cat"))
    assert shape != shape_of(text_to_image(steps=5))
    assert shape != shape_of(text_to_image(size=128))


def test_shapes_that_are_stored_stay_what_they_are() -> None:
    """Whatever the names of inputs: run times are found by them."""
    names = ["ab", "a", "a b", "a'b", 'a"b', "a\\b", "a!", "\u00e4", "a'\"b", "seed", "10", "2"]
    odd = {"class_type": "B", "inputs": {name: place for place, name in enumerate(names)}}
    loader = {"class_type": "A", "inputs": {"x": ["2", 0], "ckpt": "a\\b.safetensors"}}
    assert shape_of({"2": odd, "10": loader}) == "0aacecb56704e612f4f76d663cd46fea"


def test_needs_keep_who_refuses_them_and_older_gateways_find_nobody_for_them() -> None:
    refused = frozenset({Refusal("a:1", "mode of Node: 'x'"), Refusal("b:2", "another")})
    needs = Needs(frozenset({"Node"}), frozenset(), refused)
    assert Needs.load(needs.dump()) == needs
    assert needs.refusers == {"a:1", "b:2"}
    classes, files = json.loads(needs.dump())
    assert set(classes) > {"Node"}, "a gateway of before looks for more than any server has"
    assert files == []
