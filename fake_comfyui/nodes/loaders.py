"""Loading and patching models: names are all there is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.values import Weights

_LOADING = 2.0  # as long as two sampling steps


async def checkpoint(call: Call) -> Result:
    await call.report.work(_LOADING)
    name = call.get("ckpt_name", str)
    return Result(tuple(Weights(kind, (name,)) for kind in ("MODEL", "CLIP", "VAE")))


def _loader(kind: str, *names: str) -> Implementation:
    async def load(call: Call) -> Result:
        await call.report.work(_LOADING)
        return Result((Weights(kind, tuple(call.get(name, str) for name in names)),))

    return load


def lora(call: Call) -> Result:
    name = f"{call.get('lora_name', str)}:{call.get('strength_model', float)}"
    model, clip = call.get("model", Weights), call.get("clip", Weights)
    return Result((model.patched(name), clip.patched(name)))


def lora_model_only(call: Call) -> Result:
    name = f"{call.get('lora_name', str)}:{call.get('strength_model', float)}"
    return Result((call.get("model", Weights).patched(name),))


def patch_model(call: Call) -> Result:
    """ModelSampling* and the like: the values become part of the model's name."""
    values = {key: value for key, value in call.inputs.items() if key != "model"}
    return Result((call.get("model", Weights).patched(f"{call.class_type}{values}"),))


def last_layer(call: Call) -> Result:
    layer = call.get("stop_at_clip_layer", int)
    return Result((call.get("clip", Weights).patched(f"layer {layer}"),))


LOADERS: Mapping[str, Implementation] = MappingProxyType(
    {
        "CheckpointLoaderSimple": checkpoint,
        "UNETLoader": _loader("MODEL", "unet_name"),
        "CLIPLoader": _loader("CLIP", "clip_name"),
        "DualCLIPLoader": _loader("CLIP", "clip_name1", "clip_name2"),
        "TripleCLIPLoader": _loader("CLIP", "clip_name1", "clip_name2", "clip_name3"),
        "VAELoader": _loader("VAE", "vae_name"),
        "CLIPVisionLoader": _loader("CLIP_VISION", "clip_name"),
        "ControlNetLoader": _loader("CONTROL_NET", "control_net_name"),
        "UpscaleModelLoader": _loader("UPSCALE_MODEL", "model_name"),
        "LoraLoader": lora,
        "LoraLoaderModelOnly": lora_model_only,
        "CLIPSetLastLayer": last_layer,
        "ModelSamplingAuraFlow": patch_model,
        "ModelSamplingSD3": patch_model,
        "ModelSamplingFlux": patch_model,
        "CFGNorm": patch_model,
        "DifferentialDiffusion": patch_model,
    }
)
