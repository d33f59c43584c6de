"""A bound on what a conversion does and makes, whatever the file holds.

What is in a file can be used many times: a subgraph by its instances, a text by what shows it, a
list of links by whatever follows them. So a small file can stand for a huge prompt, or for endless
work. Whoever does in a loop more than once what the file holds once says so here.
"""

from typing import Any

from app.errors import InvalidWorkflow

MAX_STEPS = 1_500_000  # steps; the largest official workflow takes 10,000
OBJECT = 4  # steps that an object is taken for: it costs memory, too
LETTERS = 16  # letters of a text that are taken for a step


class Effort:
    def __init__(self, most: int = MAX_STEPS) -> None:
        self._most = most
        self._left = most

    def spend(self, steps: int) -> None:
        """Raises InvalidWorkflow when it is all too much."""
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
        """A JSON value is written down once more."""
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
