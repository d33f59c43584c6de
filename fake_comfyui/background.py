"""Keeps slow drawing off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

_SMALL = 160 * 160
T = TypeVar("T")


async def compute(pixels: int, function: Callable[..., T], *args: Any) -> T:
    """Run `function` here if so few pixels make it quick, else in a thread."""
    if pixels <= _SMALL:
        return function(*args)
    return await asyncio.to_thread(function, *args)
