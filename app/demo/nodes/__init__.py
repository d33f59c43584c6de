"""What the node types do, by theme; a class without implementation runs generically."""

from __future__ import annotations

from app.demo.catalogue import NodeSpec
from app.demo.nodes.call import Call, Implementation, NodeFailure, Reporter, Result
from app.demo.nodes.conditioning import CONDITIONING
from app.demo.nodes.flow import FLOW, LAZY
from app.demo.nodes.generic import generic
from app.demo.nodes.images import IMAGES
from app.demo.nodes.latents import LATENTS
from app.demo.nodes.loaders import LOADERS
from app.demo.nodes.media import MEDIA
from app.demo.nodes.primitives import PRIMITIVES
from app.demo.nodes.resizing import RESIZING
from app.demo.nodes.sampling import SAMPLING
from app.demo.nodes.saving import SAVING

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
