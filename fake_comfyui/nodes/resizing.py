"""ResizeImageMaskNode: pictures or masks, to a size told in one of several ways."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PIL import ImageOps

from fake_comfyui.background import compute
from fake_comfyui.nodes.call import Call, Implementation, NodeFailure, Result
from fake_comfyui.nodes.images import FILTERS
from fake_comfyui.nodes.values import Mask, Picture, Pictures

_LARGEST = 16384

Size = tuple[int, int]


async def resize(call: Call) -> Result:
    value = call.inputs["input"]
    if not isinstance(value, Pictures | Mask):
        raise NodeFailure("TypeError", f"input: expected a picture, got {type(value).__name__}")
    width, height = (min(_LARGEST, max(1, side)) for side in _target(call, value.frames[0].size))
    method = FILTERS[call.get("scale_method", str, "area")]
    crops = call.inputs.get("resize_type.crop") == "center"

    def change(frame: Picture) -> Picture:
        if crops:
            return ImageOps.fit(frame, (width, height), method)
        return frame.resize((width, height), method)

    def work() -> Pictures | Mask:
        return type(value)(tuple(change(frame) for frame in value.frames))

    return Result((await compute(width * height * len(value.frames), work),))


def _target(call: Call, size: Size) -> Size:
    """The size that the chosen way leads to."""
    way = _WAYS.get(call.get("resize_type", str))
    return way(call, size) if way else size


def _whole(call: Call, name: str) -> int:
    return call.get(f"resize_type.{name}", int)


def _part(call: Call, name: str) -> float:
    return call.get(f"resize_type.{name}", float)


def _like(call: Call, size: Size) -> Size:
    other = call.inputs.get("resize_type.match")
    return other.frames[0].size if isinstance(other, Pictures | Mask) else size


def _multiple(call: Call, size: Size) -> Size:
    step = max(1, _whole(call, "multiple"))
    return max(step, size[0] // step * step), max(step, size[1] // step * step)


def _pixels(call: Call, size: Size) -> Size:
    pixels = _part(call, "megapixels") * 1024 * 1024
    return _scaled(size, math.sqrt(pixels / (size[0] * size[1])))


def _full(width: int, height: int, size: Size) -> Size:
    """A side of 0 follows the other one."""
    if not width and not height:
        return size
    return width or round(size[0] * height / size[1]), height or round(size[1] * width / size[0])


def _scaled(size: Size, factor: float) -> Size:
    return round(size[0] * factor), round(size[1] * factor)


_WAYS: Mapping[str, Callable[[Call, Size], Size]] = MappingProxyType(
    {
        "scale dimensions": lambda c, s: _full(_whole(c, "width"), _whole(c, "height"), s),
        "scale by multiplier": lambda c, s: _scaled(s, _part(c, "multiplier")),
        "scale longer dimension": lambda c, s: _scaled(s, _whole(c, "longer_size") / max(s)),
        "scale shorter dimension": lambda c, s: _scaled(s, _whole(c, "shorter_size") / min(s)),
        "scale width": lambda c, s: _full(_whole(c, "width"), 0, s),
        "scale height": lambda c, s: _full(0, _whole(c, "height"), s),
        "scale total pixels": _pixels,
        "match size": _like,
        "scale to multiple": _multiple,
    }
)

RESIZING: Mapping[str, Implementation] = MappingProxyType({"ResizeImageMaskNode": resize})
