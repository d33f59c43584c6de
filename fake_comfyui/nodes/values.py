"""What flows along the links: small descriptions; only images hold pixels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

Picture = Image.Image


@dataclass(frozen=True, slots=True)
class Pictures:
    """An IMAGE: a batch of RGB pictures of one size."""

    frames: tuple[Picture, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.frames[0].size


@dataclass(frozen=True, slots=True)
class Mask:
    """A MASK: a batch of greyscale pictures, white where to work."""

    frames: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """Anything loaded from model files: MODEL, CLIP, VAE, CONTROL_NET, ..."""

    kind: str
    names: tuple[str, ...]

    def patched(self, *names: str) -> Weights:
        return replace(self, names=self.names + names)


@dataclass(frozen=True, slots=True)
class Conditioning:
    """A CONDITIONING: texts, and the pictures an edit model is shown."""

    texts: tuple[str, ...]
    references: tuple[Pictures, ...] = ()
    guidance: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a picture depends on; drawn when it is decoded."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    seed: int
    steps: int
    cfg: float
    model: tuple[str, ...]
    denoise: float = 1.0
    source: Pictures | None = None
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Latent:
    """A LATENT: its size in pixels, and what it is a latent of."""

    width: int
    height: int
    batch: int = 1
    recipe: Recipe | None = None
    source: Pictures | None = None
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Sigmas:
    """SIGMAS, of which only the number of steps matters."""

    steps: int
    denoise: float = 1.0


@dataclass(frozen=True, slots=True)
class Guider:
    """A GUIDER."""

    model: Weights
    positive: Conditioning
    negative: Conditioning = field(default_factory=lambda: Conditioning(()))
    cfg: float = 1.0


@dataclass(frozen=True, slots=True)
class Noise:
    """A NOISE."""

    seed: int


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value the demo knows nothing about."""

    kind: str
    origin: Any = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """Comes out of a node in place of a value: what it leads to does not run, and says why if there
    is a message."""

    message: str | None = None
