"""Texts into conditionings, and conditionings into others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.values import Conditioning, Latent, Opaque, Pictures, Weights


def _encoder(*names: str) -> Implementation:
    def encode(call: Call) -> Result:
        call.get("clip", Weights)
        guidance = call.inputs.get("guidance")
        texts = tuple(call.get(name, str) for name in names)
        return Result((Conditioning(texts, guidance=guidance),))

    return encode


def encode_edit(call: Call) -> Result:
    """TextEncodeQwenImageEdit(Plus): the text and up to three pictures."""
    shown = (call.inputs.get(name) for name in ("image", "image1", "image2", "image3"))
    references = tuple(value for value in shown if isinstance(value, Pictures))
    return Result((Conditioning((call.get("prompt", str),), references),))


def guidance(call: Call) -> Result:
    value = call.get("conditioning", Conditioning)
    return Result((replace(value, guidance=call.get("guidance", float)),))


def zero_out(call: Call) -> Result:
    call.get("conditioning", Conditioning)
    return Result((Conditioning(()),))


def _joined(one: str, other: str) -> Implementation:
    def join(call: Call) -> Result:
        first, second = call.get(one, Conditioning), call.get(other, Conditioning)
        texts, references = first.texts + second.texts, first.references + second.references
        return Result((Conditioning(texts, references, first.guidance),))

    return join


def reference_latent(call: Call) -> Result:
    value, latent = call.get("conditioning", Conditioning), call.inputs.get("latent")
    if isinstance(latent, Latent) and latent.source is not None:
        value = replace(value, references=(*value.references, latent.source))
    return Result((value,))


def control_net(call: Call) -> Result:
    """The hint picture only shows in the text, so that it changes the result."""
    strength = f"controlled {call.get('strength', float)}"
    positive, negative = call.get("positive", Conditioning), call.get("negative", Conditioning)
    return Result((replace(positive, texts=(*positive.texts, strength)), negative))


def inpaint(call: Call) -> Result:
    pictures, mask = call.pictures("pixels"), call.mask()
    width, height = pictures.size
    latent = Latent(width, height, len(pictures.frames), source=pictures, mask=mask)
    positive, negative = call.get("positive", Conditioning), call.get("negative", Conditioning)
    return Result((positive, negative, latent))


def vision(call: Call) -> Result:
    return Result((Opaque("CLIP_VISION_OUTPUT", call.pictures()),))


CONDITIONING: Mapping[str, Implementation] = MappingProxyType(
    {
        "CLIPTextEncode": _encoder("text"),
        "CLIPTextEncodeSDXL": _encoder("text_g", "text_l"),
        "CLIPTextEncodeFlux": _encoder("clip_l", "t5xxl"),
        "CLIPTextEncodeSD3": _encoder("clip_l", "clip_g", "t5xxl"),
        "TextEncodeQwenImageEdit": encode_edit,
        "TextEncodeQwenImageEditPlus": encode_edit,
        "CLIPVisionEncode": vision,
        "FluxGuidance": guidance,
        "ConditioningZeroOut": zero_out,
        "ConditioningCombine": _joined("conditioning_1", "conditioning_2"),
        "ConditioningConcat": _joined("conditioning_to", "conditioning_from"),
        "ConditioningAverage": _joined("conditioning_to", "conditioning_from"),
        "ReferenceLatent": reference_latent,
        "ControlNetApplyAdvanced": control_net,
        "InpaintModelConditioning": inpaint,
    }
)
