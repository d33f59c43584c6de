"""Which files are generated, and by what. tests/contract/test_generated.py compares them."""

from collections.abc import Callable
from pathlib import Path

from scripts.docs import postman, reference, settings

ROOT = Path(__file__).parents[2]

GENERATED: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings.page,
    "docs/reference.md": reference.page,
    "ComfyUI_API.postman_collection.json": postman.page,
}
