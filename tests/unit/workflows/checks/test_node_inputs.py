"""Which prompts are refused before they are queued: only what a server would certainly refuse."""

from typing import Any

import pytest

from app.comfyui.inputs import NodeTypes
from app.services.prepare import prepare
from app.workflows.checks.node_inputs import Acceptance, Known
from app.workflows.checks.prompt import check_structure
from app.workflows.conversion import convert
from app.workflows.references.assets import reference
from tests.effort import calls_of
from tests.unit.workflows.conversion.official import DIGESTS, OBJECT_INFO, template

Json = dict[str, Any]
# Templates for later versions than 0.33.0, whose values stand in other inputs there: ComfyUI's own
# page sends the same graphs, and its server would refuse them.
TOO_NEW = {
    *("3d_hunyuan3d-v2.1", "3d_hunyuan3d_image_to_model", "video_ltx2_i2v_lora"),
    "api_bytedance_seedream_5_0_flash_image_edit",
    "api_bytedance_seedream_5_0_lite_image_edit",
    *("api_elevenlabs_v4_text_to_speech", "api_recraft_v4_1_flash_t2i"),
    *("api_meshy7_1_image_to_model", "api_meshy7_image_to_model", "api_meshy_image_to_model"),
    *("api_meshy_multi_image_to_model", "video_minimax_h3_multiframe_reference"),
    *("api_nano_banana_2_1_image_edit", "api_nano_banana_2_1_t2i"),
    "api_openai_gpt_image_25_flare_image_edit",
    "api_openai_gpt_image_25_flare_t2i",
    "api_openai_gpt_image_25_sunburst_image_edit",
    "api_openai_gpt_image_25_sunburst_t2i",
}


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def shown(kind: Any, module: str | None = "nodes", **options: Any) -> Json:
    """object_info with an output node `It`, whose input `value` is of this kind."""
    required = {"value": [kind, options]}
    return {
        "It": {
            "input": {"required": required},
            "output": [],
            "output_node": True,
            "python_module": module,
        },
        "Core": {"output": ["IMAGE", "OTHER"], "python_module": "nodes"},
        "Custom": {"output": ["IMAGE", "OTHER"], "python_module": "custom_nodes.pack"},
    }


CUSTOM = "custom_nodes.pack.nodes"
ALL_CORE = {name: {**found, "python_module": "nodes"} for name, found in OBJECT_INFO.items()}


@pytest.mark.parametrize(
    ("info", "value", "is_taken"),
    [
        (shown(["a", "b"]), "c", False),
        (shown(["a", "b"], CUSTOM), "c", True),  # its VALIDATE_INPUTS may take it
        (shown(["a", "b"], "comfy_extras.nodes_x"), "c", False),
        (shown(["a", "b"], "pack.nodes"), "c", True),
        (shown(["a", "b"], None), "c", True),  # of whom it is is not told
        (shown([]), "c", True),  # its page may know more
        (shown("COMBO", options=[]), "c", True),
        (shown("COMBO", options=["a"]), "c", False),
        (shown("COMBO", options=["a"], remote={"route": "/x"}), "c", True),
        (shown("COMBO", options=["a"], video_upload=True), "c", True),
        (shown(["a.txt"]), reference("id", "hash", "b.txt"), True),
        (shown(["a.txt"]), {"info": {"id": "id"}}, False),
        (shown(["sub/a.safetensors"]), "sub\\a.safetensors", True),
        (shown(["sub\\a.safetensors"]), "sub/a.safetensors", True),
        (shown(["sub/a.safetensors"]), "other/a.safetensors", False),
        (shown("INT", min=1), 0, False),
        (shown("INT", CUSTOM, min=1), 0, True),
        (shown("INT", CUSTOM), "no number", False),  # nothing can make one of it
        (shown("INT", CUSTOM), [1, 2, 3], False),
        (shown("LATENT"), ["core", 0], False),
        (shown("LATENT", CUSTOM), ["core", 0], True),
        (shown("LATENT"), ["custom", 0], False),
        (shown("LATENT"), ["custom", 1], True),  # a type of its own may fit to anything
        (shown("LATENT"), ["custom", 9], True),  # some have as many outputs as are asked for
        (shown("LATENT"), ["custom", "1"], False),  # no node has outputs of such a number
        (shown("LATENT"), ["core", 9], False),
        (shown("LATENT"), ["unheard of", 9], True),
    ],
)
def test_what_is_told_and_what_is_not(info: Json, value: Any, is_taken: bool) -> None:
    sources = {"core": node("Core"), "custom": node("Custom"), "unheard of": node("Unheard")}
    prompt = {"0": node("It", value=value)}
    if isinstance(value, list) and value[0] in sources:
        prompt[value[0]] = sources[value[0]]
    assert Acceptance(prompt, NodeTypes(info)).takes == is_taken


def test_a_required_input_of_a_custom_node() -> None:
    assert not Acceptance({"0": node("It")}, NodeTypes(shown("INT", CUSTOM))).takes


def test_links_that_are_none_are_not_followed_into_a_cycle() -> None:
    """To check_structure they are no links, so it does not see the cycle: to walk in one takes
    the square of its nodes, for each link that leads back."""
    step = {"input": {"required": {"i": ["A"]}}, "output": ["A"], "python_module": CUSTOM}
    info = {**shown("A", CUSTOM), "Step": step}
    prompt = {"a": node("Step", i=["b", "x"]), "b": node("Step", i=["a", "x"])}
    prompt["0"] = node("It", value=["a", 0])
    check_structure(prompt, info)
    (error,) = Acceptance(prompt, NodeTypes(info)).verdict.node_errors["a"]["errors"]
    assert error["type"] == "exception_during_inner_validation"


def test_a_class_that_is_not_known_may_be_a_good_output() -> None:
    info = shown("INT")
    assert Acceptance({"0": node("It"), "1": node("Unheard")}, NodeTypes(info)).takes
    assert Acceptance({"0": node("It")}, NodeTypes({})).takes


def test_the_words() -> None:
    info = shown(["euler", "euler_ancestral", "heun"])
    error = Acceptance(
        {"0": node("It", value="euler_a"), "1": node("It")}, NodeTypes(info)
    ).refusal()
    assert error.detail == (
        "Node '0' ('It'): Value not in list (value: 'euler_a' not in ['euler', 'euler_ancestral', "
        "'heun']). Did you mean 'euler', 'euler_ancestral'? 1 more nodes have faults."
    )
    assert set(error.extra["node_errors"]) == {"0", "1"}


# -- official workflows -------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_official_workflows_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for their choices, of which the fixture has the first only."""
    monkeypatch.setattr(Known, "leaves", lambda *_: True)
    found = Acceptance(convert(template(name), OBJECT_INFO).prompt, NodeTypes(ALL_CORE))
    assert found.takes == (name not in TOO_NEW)


# -- effort -------------------------------------------------------------------------------------
def test_a_large_graph_is_looked_at_with_no_more_work_than_preparing_it_takes() -> None:
    prompt = {"0": node("EmptyImage", width=8, height=8, batch_size=1, color=0)}
    for number in range(1, 2000):
        prompt[str(number)] = node("ImageInvert", image=[str(number - 1), 0])
    prompt["out"] = node("SaveImage", images=["1999", 0], filename_prefix="x")

    before = calls_of(lambda: prepare(prompt, [{}], OBJECT_INFO))
    assert calls_of(lambda: Acceptance(prompt, NodeTypes(ALL_CORE))) < before
