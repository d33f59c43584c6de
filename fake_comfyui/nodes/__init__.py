"""What the node types do, by theme; a class without implementation runs generically."""

from __future__ import annotations

from fake_comfyui.catalogue import NodeSpec
from fake_comfyui.nodes.call import Call, Implementation, NodeFailure, Reporter, Result
from fake_comfyui.nodes.conditioning import CONDITIONING
from fake_comfyui.nodes.flow import FLOW, LAZY
from fake_comfyui.nodes.generic import generic
from fake_comfyui.nodes.images import IMAGES
from fake_comfyui.nodes.latents import LATENTS
from fake_comfyui.nodes.loaders import LOADERS
from fake_comfyui.nodes.media import MEDIA
from fake_comfyui.nodes.primitives import PRIMITIVES
from fake_comfyui.nodes.resizing import RESIZING
from fake_comfyui.nodes.sampling import SAMPLING
from fake_comfyui.nodes.saving import SAVING

__all__ = [
    "Call",
    "Implementation",
    "NodeFailure",
    "Reporter",
    "Result",
    "implementation",
    "wanted",
]

_KNOWN = {**LOADERS, **CONDITIONING, **SAMPLING, **LATENTS, **IMAGES, **SAVING, **PRIMITIVES}
_KNOWN |= {**FLOW, **MEDIA, **RESIZING}


def implementation(spec: NodeSpec) -> Implementation:
    return _KNOWN.get(spec.name) or generic(spec)


def wanted(spec: NodeSpec, call: Call) -> list[str]:
    """The lazy inputs that a node cannot do without, as far as it knows yet."""
    ask = LAZY.get(spec.name)
    return ask(call) if ask else sorted(spec.lazy)
