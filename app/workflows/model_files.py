"""What model files are called."""

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
