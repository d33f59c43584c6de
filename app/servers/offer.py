"""What a server has, by the node types that it told; replaced as a whole."""

from app.comfyui.inputs import NodeTypes
from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.workflows.requirements import Lack, Needs, lack_of

KNOWN_FITS = 1_000_000  # total weight of the cached results of `lacks`: one per name, 50 per entry


class Offer:
    """`node_types`: the server's object_info, {} until it has told any."""

    def __init__(self, node_types: Json) -> None:
        self.node_types = node_types
        self.inputs = NodeTypes(node_types)  # each class is parsed once, not for each prompt
        self._fits: BoundedCache[Needs, Lack] = BoundedCache(KNOWN_FITS, Lack.weight)

    def has(self, needs: Needs) -> bool:
        """Return whether it has told its node types, and lacks nothing."""
        return bool(self.node_types) and not self.lacks(needs)

    def lacks(self, needs: Needs) -> Lack:
        """Return which of the needs the server does not have; cached."""
        if (found := self._fits.get(needs)) is None:
            self._fits.put(needs, found := lack_of(needs, self.node_types))
        return found
