"""What model files are called. Pure."""

from collections.abc import Sequence
from typing import Any

# By these names ComfyUI and its loaders know model files (folder_paths.supported_pt_extensions),
# and what custom loaders add to them.
SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"),
    *(".gguf", ".onnx", ".engine"),
)
LONGEST = 1000  # characters: what is longer is a text
_END = max(map(len, SUFFIXES))


def is_model_file(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST:
        return False
    return value[-_END:].lower().endswith(SUFFIXES)


def with_slashes(name: str) -> str:
    """The name by which files are compared: Windows lists `sdxl\\a.ckpt`, others `sdxl/a.ckpt`."""
    return name.replace("\\", "/")


def as_among(value: Any, choices: Sequence[Any]) -> Any:
    """The choice that differs from the value by its separators only; else the value itself."""
    if not isinstance(value, str) or len(value) > LONGEST or value in choices:
        return value
    wanted = with_slashes(value)
    if "/" not in wanted:
        return value
    same = (c for c in choices if isinstance(c, str) and with_slashes(c) == wanted)
    return next(same, value)
