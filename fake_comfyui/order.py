"""The order of what ComfyUI keeps in sets: the outputs to run, what ran, what there is."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable

Order = Callable[[Iterable[str]], list[str]]
"""`list` is one: as in the graph."""


class SetOrder:
    """An order that depends on the ids alone: the same throughout a server's life, another one in
    the next server's, unless both have one seed."""

    def __init__(self, seed: int | None = None) -> None:
        number = secrets.randbits(64) if seed is None else seed % 2**64
        self._key = number.to_bytes(8, "big")

    def __call__(self, ids: Iterable[str]) -> list[str]:
        return sorted(ids, key=self._place)

    def _place(self, one: str) -> bytes:
        name = one.encode(errors="surrogatepass")
        return hashlib.blake2b(name, digest_size=8, key=self._key).digest()
