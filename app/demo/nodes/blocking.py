"""A node that keeps others from running, as custom nodes do with ComfyUI's ExecutionBlocker."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.demo.nodes.call import Call, Implementation, Result
from app.demo.nodes.values import Blocker


def block(call: Call) -> Result:
    if not call.get("block", bool, True):
        return Result((call.pictures(),))
    return Result((Blocker(call.get("message", str, "") or None),))


BLOCKING: Mapping[str, Implementation] = MappingProxyType({"DemoBlocker": block})
