"""Detection of errors that mean a lack of memory. Pure.

An error is recognized by its class together with the message of the library that raises the class,
because a node may quote any text in an error of its own.
"""

import re

# Unambiguous classes of any module: torch's, cupy's, Python's, numpy's.
_CLASSES = frozenset({"OutOfMemoryError", "MemoryError", "_ArrayMemoryError"})

# Messages that torch raises as a bare RuntimeError or as a device error. ComfyUI itself treats
# "CUDA error: out of memory" as such, adds its tips and unloads its models.
_DEVICES = r"(CUDA|HIP|ROCm|XPU|NPU|MPS|MLU|IXUCA|PrivateUse1)"
_WORDS_OF_TORCH = re.compile(
    rf"\b{_DEVICES}( backend)? out of memory"
    rf"|\b{_DEVICES} error: out of memory"
    r"|DefaultCPUAllocator: (can't allocate memory|not enough memory)"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT|HIPBLAS|ROCBLAS|MIOPEN)_STATUS_ALLOC_FAILED"
    r"|\bCUFFT_ALLOC_FAILED"
    r"|There is not enough GPU video memory available"  # DirectML
    r"|^Invalid buffer size: [\d.]+ [KMGT]i?B"  # MPS, for a buffer that is too large
    r"|^unable to mmap \d+ bytes.*Cannot allocate memory"
    r"|This error means you ran out of memory on your GPU",  # ComfyUI's tips
    re.IGNORECASE,
)
_TORCH = frozenset({"RuntimeError", "torch.RuntimeError", "torch.cuda.CudaError"})
_BY_CLASS = {
    "AcceleratorError": re.compile("out of memory", re.IGNORECASE),
    "OSError": re.compile(r"^\[(Errno 12|WinError 8|WinError 1455)\]"),
    "RuntimeException": re.compile("Failed to allocate memory for requested buffer"),  # onnxruntime
    "XlaRuntimeError": re.compile("^RESOURCE_EXHAUSTED"),
}
_OF_OPENCV = re.compile(r"\(-4:Insufficient memory\)")


def is_out_of_memory(exception_type: str, message: str) -> bool:
    """Return whether an error means a lack of memory.

    `exception_type` as ComfyUI reports it: the class, with its module unless that is builtins.
    """
    name = exception_type.rpartition(".")[2]
    if name in _CLASSES:
        return True
    if exception_type in _TORCH:
        return bool(_WORDS_OF_TORCH.search(message))
    if exception_type == "cv2.error":
        return bool(_OF_OPENCV.search(message))
    words = _BY_CLASS.get(name)
    return words is not None and bool(words.search(message))
