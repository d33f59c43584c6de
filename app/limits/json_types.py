"""JSON that others make, and workflows: whatever is in it. JSON of ours has a type of its own."""

from typing import Any

Json = dict[str, Any]
