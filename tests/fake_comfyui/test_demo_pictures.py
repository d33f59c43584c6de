"""Nodes and the pictures they make."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat

from fake_comfyui import DemoServer
from fake_comfyui.nodes.values import Pictures, Recipe
from fake_comfyui.pictures import Previews, draw
from tests.fake_comfyui.demo_client import Prompts, txt2img

BASE: dict[str, Any] = {
    "positive": ("a fox",),
    "negative": (),
    "seed": 1,
    "steps": 20,
    "cfg": 7.0,
    "model": ("sdxl",),
}


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of 0..255 a channel."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def test_same_recipe_same_picture() -> None:
    assert draw(Recipe(**BASE), 96, 64).tobytes() == draw(Recipe(**BASE), 96, 64).tobytes()


@pytest.mark.parametrize(
    "change",
    [{"positive": ("a cat",)}, {"seed": 2}, {"steps": 21}, {"cfg": 8.0}, {"model": ("flux",)}],
)
def test_every_ingredient_matters(change: dict[str, Any]) -> None:
    one, other = draw(Recipe(**BASE), 64, 64), draw(Recipe(**{**BASE, **change}), 64, 64)
    assert difference(one, other) > 3


def test_batch_is_varied() -> None:
    assert difference(draw(Recipe(**BASE), 64, 64), draw(Recipe(**BASE), 64, 64, 1)) > 3


def test_denoise_decides_how_much_of_the_source_stays() -> None:
    source = Image.new("RGB", (64, 64), (10, 200, 30))
    pictures = [
        draw(Recipe(**BASE, denoise=denoise, source=Pictures((source,))), 64, 64)
        for denoise in (0.1, 0.6, 1.0)
    ]
    near, middle, far = (difference(source, picture) for picture in pictures)
    assert near < middle < far


def test_previews_fade_into_the_picture() -> None:
    recipe = Recipe(**BASE)
    previews, final = Previews(recipe, 128, 64), draw(recipe, 128, 64)
    distances = []
    for step in (1, 5, 10):
        with Image.open(io.BytesIO(previews.jpeg(step / 10))) as preview:
            assert (preview.format, preview.size) == ("JPEG", (128, 64))
            distances.append(difference(preview, final))
    assert distances == sorted(distances, reverse=True)


async def image_of(http: httpx.AsyncClient, prompts: Prompts, graph: dict[str, Any]) -> Image.Image:
    entry = await prompts.ended(await prompts.post(graph))
    assert entry["status"]["status_str"] == "success", entry["status"]
    (file,) = next(iter(entry["outputs"].values()))["images"]
    response = await http.get("/view", params=file)
    return Image.open(io.BytesIO(response.content)).convert("RGB")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


SAVE = node("SaveImage", images=["9", 0], filename_prefix="n")


AREA = {"upscale_method": "area", "width": 40, "height": 0}
PADDING = {"left": 8, "top": 0, "right": 8, "bottom": 16, "feathering": 0}
HALF = {"blend_factor": 0.5, "blend_mode": "screen"}


@pytest.mark.parametrize(
    ("class_type", "inputs", "size"),
    [
        ("ImageScale", {**AREA, "crop": "center"}, (40, 40)),
        ("ImageScaleBy", {"upscale_method": "lanczos", "scale_by": 0.5}, (256, 256)),
        ("ImageCrop", {"width": 100, "height": 50, "x": 5, "y": 5}, (100, 50)),
        ("ImagePadForOutpaint", PADDING, (528, 528)),
        ("ImageBlend", {"image1": ["1", 0], "image2": ["1", 0], **HALF}, (512, 512)),
        ("FluxKontextImageScale", {}, (1024, 1024)),
    ],
)
async def test_image_nodes(
    class_type: str,
    inputs: dict[str, Any],
    size: tuple[int, int],
    http: httpx.AsyncClient,
    prompts: Prompts,
) -> None:
    changed = node(class_type, image=["1", 0], **inputs)
    graph = {"1": node("LoadImage", image="example.png"), "9": changed, "3": SAVE}
    assert (await image_of(http, prompts, graph)).size == size


async def test_flux_graph(http: httpx.AsyncClient, prompts: Prompts) -> None:
    """The custom sampler's nodes together, with loras and guidance."""
    graph = {
        "1": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
        "2": node(
            "DualCLIPLoader",
            clip_name1="clip_l.safetensors",
            clip_name2="t5xxl_fp16.safetensors",
            type="flux",
        ),
        "3": node("VAELoader", vae_name="ae.safetensors"),
        "4": node("CLIPTextEncode", clip=["2", 0], text="a harbour"),
        "5": node("FluxGuidance", conditioning=["4", 0], guidance=3.5),
        "6": node("BasicGuider", model=["1", 0], conditioning=["5", 0]),
        "7": node("RandomNoise", noise_seed=5),
        "8": node("KSamplerSelect", sampler_name="euler"),
        "10": node("BasicScheduler", model=["1", 0], scheduler="simple", steps=3, denoise=1.0),
        "11": node("EmptySD3LatentImage", width=128, height=64, batch_size=1),
        "12": node(
            "SamplerCustomAdvanced",
            noise=["7", 0],
            guider=["6", 0],
            sampler=["8", 0],
            sigmas=["10", 0],
            latent_image=["11", 0],
        ),
        "9": node("VAEDecode", samples=["12", 0], vae=["3", 0]),
        "13": SAVE,
    }
    assert (await image_of(http, prompts, graph)).size == (128, 64)


async def test_image_to_image_and_inpainting(http: httpx.AsyncClient, prompts: Prompts) -> None:
    source = (await http.get("/view?filename=example.png&type=input")).content
    with Image.open(io.BytesIO(source)) as opened:
        original = opened.convert("RGB")
    graph = txt2img()
    graph["4"] = node("VAEEncode", pixels=["8", 0], vae=["1", 2])
    graph["8"] = node("LoadImage", image="example.png")
    graph["5"]["inputs"]["denoise"] = 0.3
    assert difference(await image_of(http, prompts, graph), original) < 25
    graph["9"] = node("SolidMask", value=0.0, width=512, height=512)
    graph["4"] = node(
        "VAEEncodeForInpaint", pixels=["8", 0], vae=["1", 2], mask=["9", 0], grow_mask_by=0
    )
    graph["5"]["inputs"]["denoise"] = 1.0
    assert difference(await image_of(http, prompts, graph), original) < 1


async def test_counters_and_prefixes(demo: DemoServer, prompts: Prompts) -> None:
    names = []
    for colour, prefix in enumerate(("a", "a", "s/a", "%width%x%height%")):
        graph = {
            "9": node("EmptyImage", width=16, height=8, batch_size=1, color=colour),
            "3": node("SaveImage", images=["9", 0], filename_prefix=prefix),
        }
        entry = await prompts.ended(await prompts.post(graph))
        file = entry["outputs"]["3"]["images"][0]
        names.append(f"{file['subfolder']}/{file['filename']}")
    assert names == ["/a_00001_.png", "/a_00002_.png", "s/a_00001_.png", "/16x8_00001_.png"]


@pytest.mark.parametrize("prefix", ["../x", "/tmp/x", "a/../../x"])
async def test_prefix_outside_the_folder_is_an_execution_error(
    prefix: str, prompts: Prompts
) -> None:
    graph = {
        "9": node("EmptyImage", width=16, height=8, batch_size=1, color=0),
        "3": node("SaveImage", images=["9", 0], filename_prefix=prefix),
    }
    entry = await prompts.ended(await prompts.post(graph))
    assert entry["status"]["messages"][-1][0] == "execution_error"


async def test_animated_webp(http: httpx.AsyncClient, prompts: Prompts) -> None:
    graph = {
        "9": node("EmptyImage", width=16, height=8, batch_size=3, color=0),
        "3": node(
            "SaveAnimatedWEBP",
            images=["9", 0],
            filename_prefix="m",
            fps=6.0,
            lossless=True,
            quality=80,
            method="default",
        ),
    }
    entry = await prompts.ended(await prompts.post(graph))
    assert entry["outputs"]["3"]["animated"] == [True]
    response = await http.get("/view", params=entry["outputs"]["3"]["images"][0])
    assert response.headers["content-type"] == "image/webp"
