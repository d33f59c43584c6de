"""Plain values and strings."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fake_comfyui.nodes.call import Call, Implementation, Result


def value(call: Call) -> Result:
    return Result((call.inputs["value"],))


def concatenate(call: Call) -> Result:
    delimiter = call.get("delimiter", str, "")
    return Result((delimiter.join((call.get("string_a", str), call.get("string_b", str))),))


def length(call: Call) -> Result:
    return Result((len(call.get("string", str)),))


PRIMITIVES: Mapping[str, Implementation] = MappingProxyType(
    {
        "PrimitiveInt": value,
        "PrimitiveFloat": value,
        "PrimitiveString": value,
        "PrimitiveStringMultiline": value,
        "PrimitiveBoolean": value,
        "StringConcatenate": concatenate,
        "StringLength": length,
    }
)
