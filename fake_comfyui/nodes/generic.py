"""Node types the demo does not implement: plausible outputs, and files for savers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image

from fake_comfyui.catalogue import MATCHED, NodeSpec
from fake_comfyui.nodes.call import Call, Implementation, Result
from fake_comfyui.nodes.media import shown
from fake_comfyui.nodes.values import (
    Conditioning,
    Guider,
    Latent,
    Mask,
    Noise,
    Opaque,
    Pictures,
    Recipe,
    Sigmas,
    Weights,
)
from fake_comfyui.pictures import draw

_KINDS: Mapping[str, type] = MappingProxyType(
    {
        "IMAGE": Pictures,
        "MASK": Mask,
        "LATENT": Latent,
        "CONDITIONING": Conditioning,
        "SIGMAS": Sigmas,
        "GUIDER": Guider,
        "NOISE": Noise,
        "STRING": str,
        "INT": int,
        "FLOAT": float,
        "BOOLEAN": bool,
    }
)
_WEIGHTS = frozenset({"MODEL", "CLIP", "VAE", "CONTROL_NET", "UPSCALE_MODEL", "CLIP_VISION"})
_SIDE = 512


def generic(spec: NodeSpec) -> Implementation:
    """An implementation that knows of the class only what object_info says."""

    async def run(call: Call) -> Result:
        outputs = tuple(_output(kind, call, spec) for kind in spec.outputs)
        if not spec.is_output:
            return Result(outputs)
        return Result(outputs, await shown(call))

    return run


def _output(kind: str, call: Call, spec: NodeSpec) -> Any:
    """The first input of the same kind is passed through; else something is made up."""
    if kind == MATCHED:
        return next((call.inputs[name] for name in spec.matched if name in call.inputs), None)
    wanted = _KINDS.get(kind)
    for value in call.inputs.values():
        if wanted is not None and type(value) is wanted:
            return value
        if isinstance(value, Weights | Opaque) and value.kind == kind:
            return value
    if kind in _WEIGHTS:
        return Weights(kind, (call.class_type,))
    make = _MADE_UP.get(kind)
    return make(call) if make else Opaque(kind, call.class_type)


def _picture(call: Call) -> Pictures:
    width, height = (_side(call, name) for name in ("width", "height"))
    texts = tuple(value for value in call.inputs.values() if isinstance(value, str))
    seed = next((v for k, v in call.inputs.items() if "seed" in k and isinstance(v, int)), 0)
    recipe = Recipe(texts, (), seed, 20, 1.0, (call.class_type,))
    return Pictures((draw(recipe, width, height),))


def _latent(call: Call) -> Latent:
    return Latent(_side(call, "width"), _side(call, "height"))


def _side(call: Call, name: str) -> int:
    value = call.inputs.get(name)
    return value if isinstance(value, int) and 0 < value <= 4096 else _SIDE


_MADE_UP: Mapping[str, Callable[[Call], Any]] = MappingProxyType(
    {
        "IMAGE": _picture,
        "LATENT": _latent,
        "MASK": lambda _: Mask((Image.new("L", (_SIDE, _SIDE), 255),)),
        "CONDITIONING": lambda call: Conditioning((call.class_type,)),
        "SIGMAS": lambda _: Sigmas(20),
        "NOISE": lambda _: Noise(0),
        "STRING": lambda call: call.class_type,
        "INT": lambda _: 0,
        "FLOAT": lambda _: 0.0,
        "BOOLEAN": lambda _: False,
    }
)
