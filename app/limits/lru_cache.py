"""A bounded, thread-safe LRU cache."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """cachetools' LRUCache with a lock; values larger than the whole cache are not stored.

    LRUCache itself raises ValueError for these. `most`: number of entries, or the sum of `size_of`.
    """

    def __init__(self, most: int, size_of: Callable[[V], int] | None = None) -> None:
        self.most = most
        self._size_of = size_of
        self._kept: LRUCache[K, V] = LRUCache(most, getsizeof=size_of)
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if self._size_of is None or self._size_of(value) <= self.most:
                self._kept[key] = value

    def discard(self, key: K) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def items(self) -> list[tuple[K, V]]:
        """Return a snapshot of all entries."""
        with self._lock:
            return list(self._kept.items())

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    @property
    def size(self) -> int:
        """The used part of `most`."""
        return int(self._kept.currsize)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: K) -> bool:
        return key in self._kept
