"""Finds what grows: the containers that objects of the application hold, wherever they are."""

import asyncio
import gc
import sys
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel
from starlette.routing import BaseRoute

from app.limits.lru_cache import BoundedCache

CONTAINERS = (dict, list, set, frozenset, deque, asyncio.Queue, BoundedCache)


def containers() -> Iterator[tuple[str, Any, Any]]:
    """Name, the object that has it, and the container: of all objects of the application but
    values (frozen dataclasses, models, errors), which are as large as what they stand for."""
    gc.collect()
    several = _names_of_several()
    for holder in gc.get_objects():
        kind = type(holder)
        module = str(kind.__module__)
        if not module.startswith("app.") or module.startswith("fake_comfyui") or _is_value(holder):
            continue
        for name, value in _attributes(holder):
            if isinstance(value, CONTAINERS):
                known = kind.__name__
                if known in several:
                    known = f"{module.rpartition('.')[2]}.{known}"
                yield f"{known}.{name}", holder, value


def _names_of_several() -> set[str]:
    """What classes of several modules are called: they are told apart by the modules' names."""
    defined = Counter(
        kind.__name__
        for name, module in list(sys.modules.items())
        if name.startswith("app.") and not name.startswith("fake_comfyui")
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == name
    )
    return {name for name, count in defined.items() if count > 1}


def caches() -> Iterator[tuple[str, Any]]:
    """The functions of the application that remember their answers."""
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("app.") or module_name.startswith("fake_comfyui"):
            continue
        for name, value in vars(module).items():
            if hasattr(value, "cache_info") and value.__module__ == module_name:
                yield f"{module_name.removeprefix('app.')}.{name}", value


def size_of(container: Any) -> int:
    """Entries; of a BoundedCache what it takes of its bound."""
    if isinstance(container, asyncio.Queue):
        return container.qsize()
    return container.size if isinstance(container, BoundedCache) else len(container)


def largest_within(container: Any) -> int:
    """Of the containers in a container."""
    values = container.values() if isinstance(container, dict) else container
    if isinstance(container, asyncio.Queue | BoundedCache):
        return 0
    return max((len(v) for v in values if isinstance(v, (*CONTAINERS[:5],))), default=0)


def _is_value(holder: Any) -> bool:
    frozen = is_dataclass(holder) and type(holder).__dataclass_params__.frozen  # type: ignore[attr-defined]
    # Routes are made at the start.
    made = BaseModel | BaseException | type | BoundedCache | asyncio.Queue | BaseRoute
    return frozen or isinstance(holder, made)


def _attributes(holder: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(holder, "__dict__", {}).items()
    for kind in type(holder).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(holder, name):
                yield name, getattr(holder, name)
