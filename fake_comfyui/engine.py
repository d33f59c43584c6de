"""What outlives a prompt: the server's parts, and the cache of nodes."""

from dataclasses import dataclass, field
from typing import Any

from fake_comfyui.catalogue import Catalogue
from fake_comfyui.folders import Folders
from fake_comfyui.knobs import Knobs
from fake_comfyui.nodes import Result
from fake_comfyui.order import Order
from fake_comfyui.sockets import Hub
from fake_comfyui.version import Version


@dataclass(frozen=True, slots=True)
class CachedNode:
    """A node's result, and the `meta` of the node that made it."""

    result: Result
    meta: dict[str, Any]


@dataclass
class Engine:
    """What outlives a prompt: the cache, the interrupt flag, and the server's parts."""

    catalogue: Catalogue
    folders: Folders
    hub: Hub
    knobs: Knobs
    version: Version
    order: Order
    cache: dict[str, CachedNode] = field(default_factory=dict)
    interrupted: bool = False
