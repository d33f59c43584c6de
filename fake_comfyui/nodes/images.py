"""Loading and changing pictures; these really do it, with Pillow."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from fake_comfyui.background import compute
from fake_comfyui.nodes.call import Call, Implementation, NodeFailure, Result
from fake_comfyui.nodes.values import Mask, Picture, Pictures, Weights
from fake_comfyui.pictures import fitted

FILTERS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# The sizes Flux Kontext was trained on, about a megapixel each.
_KONTEXT_WIDTHS = range(672, 1569, 8)


def _opened(call: Call, default: str) -> Picture:
    path = call.folders.annotated(call.get("image", str), default)
    try:
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture).copy()
    except (OSError, SyntaxError) as error:
        raise _unreadable(path, call, error) from error


# How pictures begin. What does not is left to Pillow by ComfyUI.
_SIGNATURES = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF", b"BM")
_INVALID = "[Errno 1094995529] Invalid data found when processing input: 'avcodec_send_packet()'"


def _unreadable(path: Path, call: Call, error: Exception) -> NodeFailure:
    """A broken picture. Newer servers read pictures with PyAV."""
    if call.version.reads_with_pyav and call.class_type != "LoadImageMask":
        with path.open("rb") as file:
            if file.read(4).startswith(_SIGNATURES):
                return NodeFailure("av.error.InvalidDataError", _INVALID)
    if isinstance(error, UnidentifiedImageError):
        return NodeFailure("PIL.UnidentifiedImageError", str(error))
    return NodeFailure(type(error).__name__, str(error))


def _mask_of(picture: Picture, channel: str) -> Mask:
    """The alpha mask is white where the picture is transparent."""
    if channel != "alpha":
        return Mask((picture.convert("RGB").getchannel("RGB".index(channel[0].upper())),))
    if "A" not in picture.getbands():
        return Mask((Image.new("L", (64, 64)),))
    return Mask((ImageChops.invert(picture.getchannel("A")),))


def load(call: Call) -> Result:
    default = "output" if call.class_type == "LoadImageOutput" else "input"
    picture = _opened(call, default)
    return Result((Pictures((picture.convert("RGB"),)), _mask_of(picture, "alpha")))


def load_mask(call: Call) -> Result:
    return Result((_mask_of(_opened(call, "input"), call.get("channel", str)),))


async def _each(call: Call, pixels: int, change: Callable[[Picture], Picture]) -> Result:
    pictures = call.pictures()

    def work() -> Pictures:
        return Pictures(tuple(change(frame) for frame in pictures.frames))

    return Result((await compute(pixels * len(pictures.frames), work),))


async def _resized(call: Call, width: int, height: int) -> Result:
    method = FILTERS[call.get("upscale_method", str, "lanczos")]
    size = max(1, width), max(1, height)
    return await _each(call, size[0] * size[1], lambda frame: frame.resize(size, method))


async def scale(call: Call) -> Result:
    width, height = call.get("width", int), call.get("height", int)
    old_width, old_height = call.pictures().size
    if width == 0 and height == 0:
        return Result((call.pictures(),))
    width = width or round(old_width * height / old_height)
    height = height or round(old_height * width / old_width)
    if call.get("crop", str) == "disabled":
        return await _resized(call, width, height)
    method = FILTERS[call.get("upscale_method", str)]
    size = width, height
    return await _each(call, width * height, lambda frame: ImageOps.fit(frame, size, method))


async def scale_by(call: Call) -> Result:
    width, height = call.pictures().size
    factor = call.get("scale_by", float)
    return await _resized(call, round(width * factor), round(height * factor))


async def scale_to_pixels(call: Call) -> Result:
    width, height = call.pictures().size
    factor = math.sqrt(call.get("megapixels", float) * 1024 * 1024 / (width * height))
    grid = call.get("resolution_steps", int, 1)
    return await _resized(
        call, round(width * factor / grid) * grid, round(height * factor / grid) * grid
    )


async def kontext_scale(call: Call) -> Result:
    width, height = call.pictures().size
    sizes = [(side, round(1024 * 1024 / side / 8) * 8) for side in _KONTEXT_WIDTHS]
    best = min(sizes, key=lambda size: abs(size[0] / size[1] - width / height))
    return await _resized(call, *best)


async def upscale_with_model(call: Call) -> Result:
    """The factor stands in the model's name: RealESRGAN_x2plus, 4x-UltraSharp."""
    name = call.get("upscale_model", Weights).names[0]
    digits = re.search(r"(\d)x|x(\d)", name, re.IGNORECASE)
    factor = int(digits[1] or digits[2]) if digits else 4
    width, height = call.pictures().size
    await call.report.work(2.0)
    return await _resized(call, width * factor, height * factor)


async def invert(call: Call) -> Result:
    width, height = call.pictures().size
    return await _each(call, width * height, ImageChops.invert)


_BLENDS: Mapping[str, Callable[[Picture, Picture], Picture]] = MappingProxyType(
    {
        "normal": lambda _, other: other,
        "multiply": ImageChops.multiply,
        "screen": ImageChops.screen,
        "overlay": ImageChops.overlay,
        "soft_light": ImageChops.soft_light,
        "difference": ImageChops.difference,
    }
)


def blend(call: Call) -> Result:
    one, other = call.pictures("image1"), call.pictures("image2")
    mode, share = _BLENDS[call.get("blend_mode", str)], call.get("blend_factor", float)
    pairs = ((frame, fitted(second, one.size)) for frame, second in _paired(one, other))
    mixed = (Image.blend(frame, mode(frame, second), share) for frame, second in pairs)
    return Result((Pictures(tuple(mixed)),))


def _paired(one: Pictures, other: Pictures) -> list[tuple[Picture, Picture]]:
    count = len(other.frames)
    return [(frame, other.frames[place % count]) for place, frame in enumerate(one.frames)]


def batch(call: Call) -> Result:
    one, other = call.pictures("image1"), call.pictures("image2")
    second = tuple(fitted(frame, one.size) for frame in other.frames)
    return Result((Pictures(one.frames + second),))


def batch_all(call: Call) -> Result:
    """A growing number of pictures, all in the size of the first."""
    given = (value for name, value in call.inputs.items() if name.startswith("images."))
    batches = [value for value in given if isinstance(value, Pictures)]
    if not batches:
        raise NodeFailure("ValueError", "images: there is none")
    size = batches[0].size
    return Result((Pictures(tuple(fitted(f, size) for one in batches for f in one.frames)),))


async def crop(call: Call) -> Result:
    width, height = call.pictures().size
    x, y = min(call.get("x", int), width - 1), min(call.get("y", int), height - 1)
    right, bottom = min(width, x + call.get("width", int)), min(height, y + call.get("height", int))
    return await _each(call, width * height, lambda frame: frame.crop((x, y, right, bottom)))


def pad(call: Call) -> Result:
    left, top, right, bottom = (call.get(side, int) for side in ("left", "top", "right", "bottom"))
    pictures = call.pictures()
    width, height = pictures.size
    size = width + left + right, height + top + bottom
    frames = []
    for frame in pictures.frames:
        padded = Image.new("RGB", size, (128, 128, 128))
        padded.paste(frame, (left, top))
        frames.append(padded)
    mask = Image.new("L", size, 255)
    mask.paste(0, (left, top, left + width, top + height))
    return Result((Pictures(tuple(frames)), Mask((mask,))))


def composite(call: Call) -> Result:
    destination, source = call.pictures("destination"), call.pictures("source")
    resize = call.get("resize_source", bool)
    mask = call.mask().frames[0] if "mask" in call.inputs else None
    frames = []
    for frame, patch in _paired(destination, source):
        piece = fitted(patch, frame.size) if resize else patch
        whole = frame.copy()
        alpha = None if mask is None else mask.resize(piece.size)
        whole.paste(piece, (call.get("x", int), call.get("y", int)), alpha)
        frames.append(whole)
    return Result((Pictures(tuple(frames)),))


def empty(call: Call) -> Result:
    colour = call.get("color", int)
    rgb = (colour >> 16) & 255, (colour >> 8) & 255, colour & 255
    size = call.get("width", int), call.get("height", int)
    return Result((Pictures((Image.new("RGB", size, rgb),) * call.get("batch_size", int)),))


def solid_mask(call: Call) -> Result:
    size = call.get("width", int), call.get("height", int)
    return Result((Mask((Image.new("L", size, round(call.get("value", float) * 255)),)),))


def invert_mask(call: Call) -> Result:
    return Result((Mask(tuple(map(ImageChops.invert, call.mask().frames))),))


def image_to_mask(call: Call) -> Result:
    channel = call.get("channel", str)
    masks = [_mask_of(frame, channel).frames[0] for frame in call.pictures().frames]
    return Result((Mask(tuple(masks)),))


def mask_to_image(call: Call) -> Result:
    return Result((Pictures(tuple(frame.convert("RGB") for frame in call.mask().frames)),))


def size(call: Call) -> Result:
    pictures = call.pictures()
    width, height = pictures.size
    count = len(pictures.frames)
    call.report.text(call.node_id, f"width: {width}, height: {height}\n batch size: {count}")
    return Result((width, height, count))


IMAGES: Mapping[str, Implementation] = MappingProxyType(
    {
        "LoadImage": load,
        "LoadImageMask": load_mask,
        "LoadImageOutput": load,
        "ImageScale": scale,
        "ImageScaleBy": scale_by,
        "ImageScaleToTotalPixels": scale_to_pixels,
        "FluxKontextImageScale": kontext_scale,
        "ImageUpscaleWithModel": upscale_with_model,
        "ImageInvert": invert,
        "ImageBlend": blend,
        "ImageBatch": batch,
        "BatchImagesNode": batch_all,
        "ImageCrop": crop,
        "ImagePadForOutpaint": pad,
        "ImageCompositeMasked": composite,
        "EmptyImage": empty,
        "SolidMask": solid_mask,
        "InvertMask": invert_mask,
        "ImageToMask": image_to_mask,
        "MaskToImage": mask_to_image,
        "GetImageSize": size,
    }
)
