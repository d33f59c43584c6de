"""Empty latents, and the way between latents and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from PIL import Image

from fake_comfyui.background import compute
from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.values import Latent, Pictures
from fake_comfyui.pictures import draw, fitted


def empty(call: Call) -> Result:
    width, height = call.get("width", int), call.get("height", int)
    return Result((Latent(width, height, call.get("batch_size", int, 1)),))


async def decode(call: Call) -> Result:
    await call.report.work(1.0)
    latent = call.get("samples", Latent)
    pixels = latent.width * latent.height * latent.batch
    return Result((await compute(pixels, decoded, latent),))


def decoded(latent: Latent) -> Pictures:
    size = latent.width, latent.height
    if latent.recipe is not None:
        recipe = latent.recipe
        return Pictures(tuple(draw(recipe, *size, index) for index in range(latent.batch)))
    if latent.source is not None:
        return Pictures(tuple(fitted(frame, size) for frame in latent.source.frames))
    return Pictures((Image.new("RGB", size, (118, 110, 104)),) * latent.batch)


def encode(call: Call) -> Result:
    pictures = call.pictures("pixels")
    width, height = (max(8, side - side % 8) for side in pictures.size)
    return Result((Latent(width, height, len(pictures.frames), source=pictures),))


def encode_for_inpaint(call: Call) -> Result:
    latent = encode(call).outputs[0]
    return Result((replace(latent, mask=call.mask()),))


def set_noise_mask(call: Call) -> Result:
    return Result((replace(call.get("samples", Latent), mask=call.mask()),))


def upscale(call: Call) -> Result:
    """A side of 0 follows the other one; both 0 leave the latent as it is."""
    latent = call.get("samples", Latent)
    width, height = call.get("width", int), call.get("height", int)
    if width == 0 and height == 0:
        return Result((latent,))
    width = width or round(latent.width * height / latent.height)
    height = height or round(latent.height * width / latent.width)
    return Result((replace(latent, width=max(64, width), height=max(64, height)),))


def upscale_by(call: Call) -> Result:
    latent, factor = call.get("samples", Latent), call.get("scale_by", float)
    width, height = (max(8, round(side * factor)) for side in (latent.width, latent.height))
    return Result((replace(latent, width=width, height=height),))


def repeat(call: Call) -> Result:
    latent = call.get("samples", Latent)
    return Result((replace(latent, batch=latent.batch * call.get("amount", int)),))


LATENTS: Mapping[str, Implementation] = MappingProxyType(
    {
        "EmptyLatentImage": empty,
        "EmptySD3LatentImage": empty,
        "EmptyFlux2LatentImage": empty,
        "VAEDecode": decode,
        "VAEDecodeTiled": decode,
        "VAEEncode": encode,
        "VAEEncodeForInpaint": encode_for_inpaint,
        "SetLatentNoiseMask": set_noise_mask,
        "LatentUpscale": upscale,
        "LatentUpscaleBy": upscale_by,
        "RepeatLatentBatch": repeat,
    }
)
