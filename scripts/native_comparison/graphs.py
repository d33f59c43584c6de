"""The prompts that are sent."""

from typing import Any

Graph = dict[str, Any]
CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"


def node(class_type: str, **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}


def picture(run: str, color: int = 255, prefix: str = "one", size: int = 16) -> Graph:
    """A picture of one colour, inverted and saved."""
    return {
        "1": node("EmptyImage", width=size, height=size, batch_size=1, color=color),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=f"{run}-{prefix}"),
    }


def loaded(run: str, image: str, saver: str = "PreviewImage") -> Graph:
    """An upload, shown or saved."""
    name = {"filename_prefix": f"{run}-loaded"} if saver == "SaveImage" else {}
    return {"1": node("LoadImage", image=image), "2": node(saver, images=["1", 0], **name)}


def sampled(run: str, seed: int, steps: int, prefix: str = "sampled") -> Graph:
    """Stable Diffusion 1.5 at its smallest; with many steps it runs until it is interrupted."""
    return {
        "4": node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "5": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "6": node("CLIPTextEncode", text=f"a fox {run}", clip=["4", 1]),
        "7": node("CLIPTextEncode", text=f"blurry {run}", clip=["4", 1]),
        "3": node(
            "KSampler",
            seed=seed,
            steps=steps,
            cfg=7.0,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
            model=["4", 0],
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix=f"{run}-{prefix}"),
    }


def changed(graph: Graph, at: str, **inputs: Any) -> Graph:
    """The graph with other inputs of one node; those that are None are left out."""
    kept = {**graph[at]["inputs"], **inputs}
    kept = {name: value for name, value in kept.items() if value is not None}
    return {**graph, at: {**graph[at], "inputs": kept}}
