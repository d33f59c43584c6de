"""What the node types do, by theme; a class without implementation runs generically."""

from __future__ import annotations

from app.demo.catalogue import NodeSpec
from app.demo.nodes.blocking import BLOCKING
from app.demo.nodes.call import Call, Implementation, NodeFailure, Reporter, Result
from app.demo.nodes.conditioning import CONDITIONING
from app.demo.nodes.generic import generic
from app.demo.nodes.images import IMAGES
from app.demo.nodes.latents import LATENTS
from app.demo.nodes.loaders import LOADERS
from app.demo.nodes.primitives import PRIMITIVES
from app.demo.nodes.sampling import SAMPLING
from app.demo.nodes.saving import SAVING

__all__ = ["Call", "Implementation", "NodeFailure", "Reporter", "Result", "implementation"]

_KNOWN = {**LOADERS, **CONDITIONING, **SAMPLING, **LATENTS, **IMAGES, **SAVING, **PRIMITIVES}
_KNOWN |= BLOCKING


def implementation(spec: NodeSpec) -> Implementation:
    return _KNOWN.get(spec.name) or generic(spec)
