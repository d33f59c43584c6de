"""The two ComfyUI generations the demo can pose as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_MAX_UPLOAD = 100 * 1024 * 1024


@dataclass(frozen=True)
class Version:
    """What differs between them as far as the demo plays it."""

    number: str
    jobs_api: bool
    """With it come the prompt_id check, preview_method of prompts, and no secrets in /queue."""
    unknown_class: str
    """The error type for a class_type the server does not know."""
    reads_with_pyav: bool
    """LoadImage asks PyAV first and then Pillow."""
    features: dict[str, Any]


NEW = Version(
    "0.33.0",
    jobs_api=True,
    unknown_class="missing_node_type",
    reads_with_pyav=True,
    features={
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": _MAX_UPLOAD,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    },
)
OLD = Version(
    "0.3.64",
    jobs_api=False,
    unknown_class="invalid_prompt",
    reads_with_pyav=False,
    features={"supports_preview_metadata": True, "max_upload_size": _MAX_UPLOAD},
)
