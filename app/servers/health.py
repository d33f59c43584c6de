"""The result of the last health check of a server."""

import time
from dataclasses import dataclass, field

from app.limits.json_types import Json


@dataclass
class Health:
    """`reason` is why the server is not online."""

    online: bool = False
    reason: str | None = "not asked yet"
    since: float = field(default_factory=time.time)
    stats: Json = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        """ComfyUI's, or None: what answers may be no ComfyUI, and say anything."""
        system = self.stats.get("system")
        version = system.get("comfyui_version") if isinstance(system, dict) else None
        return version if isinstance(version, str) else None
