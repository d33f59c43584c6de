"""Recognition and comparison of model file names. Pure."""

from collections.abc import Sequence
from typing import Any

# Suffixes of folder_paths.supported_pt_extensions in ComfyUI, and those of custom loaders.
SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"),
    *(".gguf", ".onnx", ".engine"),
)
LONGEST = 1000  # characters; anything longer is a text
_END = max(map(len, SUFFIXES))


def is_model_file(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST:
        return False
    return value[-_END:].lower().endswith(SUFFIXES)


def with_slashes(name: str) -> str:
    r"""Return the name used for comparisons: Windows lists `sdxl\\a.ckpt`, others `sdxl/a.ckpt`."""
    return name.replace("\\", "/")


def as_among(value: Any, choices: Sequence[Any]) -> Any:
    """Return the choice that differs from the value only in path separators, else the value."""
    if not isinstance(value, str) or len(value) > LONGEST or value in choices:
        return value
    wanted = with_slashes(value)
    if "/" not in wanted:
        return value
    same = (c for c in choices if isinstance(c, str) and with_slashes(c) == wanted)
    return next(same, value)
