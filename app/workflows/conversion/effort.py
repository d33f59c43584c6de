"""Limits the work and the output of a conversion.

Parts of a file can be used repeatedly: a subgraph by its instances, a text by its references, a
list of links by the nodes that use it. So a small file can unfold to a huge prompt or to endless
work. Every loop that may process a part repeatedly is charged here.
"""

from typing import Any

from app.errors import InvalidWorkflow

MAX_STEPS = 1_500_000  # the largest official workflow takes 10,000
OBJECT = 4  # steps per created object, as it also takes memory
LETTERS = 16  # characters of a text per step


class Effort:
    def __init__(self, most: int = MAX_STEPS) -> None:
        self._most = most
        self._left = most

    def spend(self, steps: int) -> None:
        """Charge steps. Raises InvalidWorkflow when the limit is exceeded."""
        self._left -= steps
        if self._left < 0:
            raise InvalidWorkflow(
                f"The workflow takes more than {self._most} steps to convert to API format: its "
                "subgraphs, group nodes, links or texts stand for far more than the file holds.",
                hint="Send it in API format (Workflow > Export (API)), or make it smaller.",
            )

    def make(self, objects: int) -> None:
        self.spend(objects * OBJECT)

    def read(self, text: str) -> None:
        self.spend(1 + len(text) // LETTERS)

    def copy(self, value: Any) -> None:
        """Charge a copy of a JSON value."""
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self.read(item)
            elif isinstance(item, dict):
                self.make(len(item) + 1)
                stack.extend(item)
                stack.extend(item.values())
            elif isinstance(item, list):
                self.make(len(item) + 1)
                stack.extend(item)
            else:
                self.spend(1)
