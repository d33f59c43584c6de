"""Values set in a UI-format file: the widgets change, and nothing else."""

import copy
import json
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.workflows.conversion import convert
from app.workflows.saved.write_back import set_params
from tests.unit.workflows.conversion.official import OBJECT_INFO, template

Json = dict[str, Any]


def differences(before: Any, after: Any, path: str = "") -> dict[str, Any]:
    """Paths of the leaves that differ, with their new values."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        pairs = [(key, before[key], after[key]) for key in before]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(index, *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    else:
        return {} if before == after else {path: after}
    found: Json = {}
    for key, old, new in pairs:
        found |= differences(old, new, f"{path}/{key}")
    return found


@pytest.mark.parametrize(
    "name",
    [
        "sdxl_simple_example",
        "image_qwen_image",
        "image_z_image_turbo",
        "flux_schnell",
        "image_flux2_klein_text_to_image",
        "image_netayume_lumina_t2i",
    ],
)
def test_only_widgets_change(name: str) -> None:
    workflow = template(name)
    before = copy.deepcopy(workflow)
    params = {"prompt": "a lighthouse", "seed": 4242, "steps": 7}
    changed = set_params(workflow, params, OBJECT_INFO)
    assert workflow == before
    differing = differences(workflow, changed)
    assert len(differing) == 3
    assert all("/widgets_values/" in path for path in differing), differing
    assert sorted(map(str, differing.values())) == ["4242", "7", "a lighthouse"]
    json.dumps(changed)


def test_what_was_set_is_what_runs() -> None:
    changed = set_params(template("image_qwen_image"), {"76:3.seed": 5}, OBJECT_INFO)
    assert convert(changed, OBJECT_INFO).prompt["76:3"]["inputs"]["seed"] == 5


def test_a_widget_that_feeds_several_inputs() -> None:
    changed = set_params(template("image_ernie_image"), {"width": 640}, OBJECT_INFO)
    assert convert(changed, OBJECT_INFO).prompt["88:71"]["inputs"]["width"] == 640


def test_a_seed_of_minus_one_is_saved_as_a_number() -> None:
    changed = set_params(template("flux_schnell"), {"seed": -1}, OBJECT_INFO)
    assert convert(changed, OBJECT_INFO).prompt["31"]["inputs"]["seed"] >= 0


def test_a_value_that_stands_nowhere_in_the_file() -> None:
    with pytest.raises(InvalidParameter, match="no widget holds its value"):
        set_params(template("api_kling_v3_video"), {"seed": 5}, OBJECT_INFO)


def test_a_wrong_name_is_said() -> None:
    with pytest.raises(InvalidParameter, match="Did you mean 'prompt'"):
        set_params(template("flux_schnell"), {"promt": "x"}, OBJECT_INFO)
