"""What model files are called."""

from typing import Any

# By these names ComfyUI and its loaders know model files (folder_paths.supported_pt_extensions),
# and what custom loaders add to them.
SUFFIXES = (
    *(".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"),
    *(".gguf", ".onnx", ".engine"),
)


def is_model_file(value: Any) -> bool:
    return isinstance(value, str) and value.lower().endswith(SUFFIXES)
