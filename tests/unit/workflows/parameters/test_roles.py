"""What inputs do, found by following links, and the names that come of it."""

from typing import Any

import pytest

from app.workflows.parameters.names import names_of
from app.workflows.parameters.roles import roles_of
from tests.conftest import text_to_image

Json = dict[str, Any]


def node(class_type: str, title: str | None = None, **inputs: Any) -> Json:
    meta = {"_meta": {"title": title}} if title else {}
    return {"class_type": class_type, "inputs": inputs, **meta}


def named(prompt: Json) -> dict[str, str]:
    """name -> key"""
    return {name: ".".join(key) for key, name in names_of(prompt, roles_of(prompt)).items()}


def test_the_plain_case() -> None:
    names = named(text_to_image())
    assert {key: names[key] for key in ("prompt", "negative_prompt", "seed", "width")} == {
        "prompt": "6.text",
        "negative_prompt": "7.text",
        "seed": "3.seed",
        "width": "5.width",
    }
    assert names["model"] == "4.ckpt_name"
    assert names["sampler"] == "3.sampler_name"
    assert names["filename_prefix"] == "9.filename_prefix"


SAMPLER = {"positive": ["p", 0], "negative": ["n", 0], "model": ["m", 0], "latent_image": ["l", 0]}


@pytest.mark.parametrize(
    ("nodes", "prompt", "negative"),
    [
        pytest.param(
            {"p": node("CLIPTextEncode", text="yes"), "n": node("CLIPTextEncode", text="no")},
            "p.text",
            "n.text",
            id="titles and order do not matter",
        ),
        pytest.param(
            {
                "p": node("FluxGuidance", conditioning=["t", 0], guidance=3.5),
                "t": node("CLIPTextEncode", text="yes"),
                "n": node("ConditioningZeroOut", conditioning=["t", 0]),
            },
            "t.text",
            None,
            id="both sides from one text: it is the prompt",
        ),
        pytest.param(
            {
                "p": node("ControlNetApply", positive=["a", 0], negative=["b", 0]),
                "n": node("Pass", conditioning=["b", 0]),
                "a": node("CLIPTextEncode", text="yes"),
                "b": node("CLIPTextEncode", text="no"),
            },
            "a.text",
            "b.text",
            id="a node that both sides pass through",
        ),
        pytest.param(
            {
                "p": node("CLIPTextEncode", text=["s", 0]),
                "s": node("PrimitiveStringMultiline", value="yes"),
                "n": node("CLIPTextEncode", text="no"),
            },
            "s.value",
            "n.text",
            id="the text in a primitive",
        ),
        pytest.param(
            {
                "p": node("Qwen", prompt="yes", image=["i", 0]),
                "i": node("LoadImage", image="a.png"),
                "n": node("Qwen", prompt=""),
            },
            "p.prompt",
            "n.prompt",
            id="an encoder whose input is called prompt on both sides",
        ),
    ],
)
def test_sides(nodes: Json, prompt: str, negative: str | None) -> None:
    graph = {
        **nodes,
        "k": node("KSampler", seed=1, **SAMPLER),
        "m": node("Loader"),
        "l": node("EmptyLatentImage", width=8, height=8),
    }
    names = named(graph)
    assert names["prompt"] == prompt
    assert names.get("negative_prompt") == negative


def test_guiders_and_custom_samplers() -> None:
    graph = {
        "g": node("CFGGuider", model=["m", 0], positive=["p", 0], negative=["n", 0], cfg=4),
        "s": node(
            "SamplerCustomAdvanced",
            guider=["g", 0],
            noise=["r", 0],
            sigmas=["b", 0],
            latent_image=["l", 0],
        ),
        "r": node("RandomNoise", noise_seed=3),
        "b": node("BasicScheduler", scheduler="simple", steps=20, model=["m", 0]),
        "n": node("CLIPTextEncode", text="no"),
        "p": node("CLIPTextEncode", text="yes"),
        "m": node("UNETLoader", unet_name="x"),
        "l": node("EmptySD3LatentImage", width=["w", 0], height=8),
        "w": node("PrimitiveInt", value=8),
        "x": node("ImageScale", width=1, height=1),
    }
    names = named(graph)
    assert names["prompt"] == "p.text"
    assert names["negative_prompt"] == "n.text"
    assert names["seed"] == "r.noise_seed"
    assert names["steps"] == "b.steps"
    assert names["width"] == "w.value"
    assert names["width_2"] == "x.width"
    assert names["height"] == "l.height"


def test_a_switch_is_no_width() -> None:
    graph = {
        "b": node("PrimitiveBoolean", value=True),
        "s": node("Switch", switch=["b", 0]),
        "l": node("EmptyLatentImage", width=["s", 0]),
    }
    assert "width" not in named(graph)


def test_cycles_and_missing_nodes_do_no_harm() -> None:
    graph = {
        "a": node("KSampler", positive=["b", 0], model=["a", 0], latent_image=["b", 0]),
        "b": node("X", conditioning=["a", 0], positive=["gone", 0], text="t"),
    }
    roles_of(graph)


@pytest.mark.parametrize(
    ("marked", "name", "key"),
    [
        (node("CLIPTextEncode", "Text $subject", text="x"), "subject", "1.text"),
        (node("KSampler", "KSampler $main", seed=1, steps=2), "main.steps", "1.steps"),
        (node("A", "input;The Prompt;optional", text="x"), "the_prompt", "1.text"),
        (node("A", "input;The Prompt;custom_id=wish", text="x"), "wish", "1.text"),
        (node("A", "VC_BASIC Your wish", text="x"), "your_wish", "1.text"),
        (
            node("ComfyUIDeployExternalText", input_id="my_text", default_value="x"),
            "my_text",
            "1.default_value",
        ),
        (node("CPackInputInt", "How many", value=3), "how_many", "1.value"),
        (node("ServingInputText", argument="topic", default="x"), "topic", "1.default"),
    ],
)
def test_marks_that_people_use(marked: Json, name: str, key: str) -> None:
    assert named({"1": marked})[name] == key
