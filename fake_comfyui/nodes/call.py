"""What a node's implementation is given, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fake_comfyui.folders import Folders
from fake_comfyui.graph import Graph
from fake_comfyui.nodes.values import Mask, Pictures, Recipe
from fake_comfyui.version import Version

T = TypeVar("T")


class NodeFailure(Exception):
    """A node failed in a way a real one could; `kind` is the exception_type to report."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Result:
    """A node's outputs, and its `ui` if it has one.

    `expand`: nodes to run in its place; then outputs may be links to theirs, and there is no `ui`.
    """

    outputs: tuple[Any, ...] = ()
    ui: dict[str, Any] | None = None
    expand: Graph = field(default_factory=dict)


class Reporter(Protocol):
    """How a node tells of its progress while it runs."""

    async def sample(self, node_id: str, recipe: Recipe, size: tuple[int, int]) -> None:
        """Go through all steps, with previews."""

    async def results(self, node_id: str, images: list[bytes]) -> None:
        """Send finished PNGs as binary frames."""

    async def work(self, steps: float) -> None:
        """Take as long as so many sampling steps."""

    def text(self, node_id: str, text: str) -> None:
        """Show a line of text on the node."""


@dataclass(frozen=True, slots=True)
class Call:
    """One execution of one node."""

    node_id: str
    class_type: str
    inputs: dict[str, Any]
    graph: Graph
    extra_data: dict[str, Any]
    folders: Folders
    report: Reporter
    version: Version

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """An input of the type it must have. Validation lets a string pass for an IMAGE."""
        value = self.inputs.get(name, default)
        if kind is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, kind):
            found = type(value).__name__
            raise NodeFailure("TypeError", f"{name}: expected {kind.__name__}, got {found}")
        return value

    def pictures(self, name: str = "image") -> Pictures:
        return self.get(name, Pictures)

    def mask(self, name: str = "mask") -> Mask:
        return self.get(name, Mask)


Implementation = Callable[[Call], Result | Awaitable[Result]]
