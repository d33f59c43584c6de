"""Which errors are a lack of memory: ComfyUI's own classes and words, and no others."""

import pytest

from app.comfyui.memory_errors import is_out_of_memory

TIPS = "\nThis error means you ran out of memory on your GPU.\n\nTIPS: If it worked before"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 GiB."),
        ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory."),
        ("torch.OutOfMemoryError", ""),
        ("OutOfMemoryError", f"Allocation on device{TIPS}"),
        ("cupy.cuda.memory.OutOfMemoryError", "Out of memory allocating 4,096 bytes"),
        ("torch.AcceleratorError", "CUDA error: out of memory\nCUDA kernel errors might be"),
        ("torch.AcceleratorError", f"HIP error: out of memory{TIPS}"),
        ("RuntimeError", "CUDA error: out of memory"),
        ("RuntimeError", "CUDA out of memory. Tried to allocate 512.00 MiB (GPU 0; 8.00 GiB)"),
        ("RuntimeError", "HIP out of memory. Tried to allocate 1.00 GiB"),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 17.50 GB, max allowed: 18.13)"),
        ("RuntimeError", "Invalid buffer size: 24.00 GiB"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:115] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 137438953472 bytes. Error code 12 (Cannot allocate)",
        ),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you "
            "tried to allocate 4294967296 bytes.",
        ),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        (
            "RuntimeError",
            "Could not allocate tensor with 1073741824 bytes. There is not enough GPU video memory "
            "available!",
        ),
        ("RuntimeError", f"something of an older torch{TIPS}"),
        ("MemoryError", ""),
        ("builtins.MemoryError", "bad allocation"),
        ("numpy.core._exceptions._ArrayMemoryError", "Unable to allocate 8.00 EiB for an array"),
        ("numpy._core._exceptions._ArrayMemoryError", "Unable to allocate 8.00 EiB for an array"),
        ("OSError", "[Errno 12] Cannot allocate memory"),
        ("cv2.error", "OpenCV(4.9) alloc.cpp:73: error: (-4:Insufficient memory) Failed to"),
    ],
)
def test_a_lack_of_memory(kind: str, message: str) -> None:
    assert is_out_of_memory(kind, message)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("ValueError", "expected OutOfMemoryError, got something else"),
        ("ValueError", "CUDA out of memory"),
        ("Exception", f"the other machine said: CUDA out of memory{TIPS}"),
        ("KeyError", "'OutOfMemoryError'"),
        ("my_nodes.OutOfMemoryErrorHandler", "no handler"),
        ("RuntimeError", "The language model said: out of memory, sorry"),
        ("RuntimeError", "no node handles torch.OutOfMemoryError here"),
        ("RuntimeError", "The size of tensor a (64) must match the size of tensor b (32)"),
        ("torch.AcceleratorError", "CUDA error: an illegal memory access was encountered"),
        ("torch.AcceleratorError", "CUDA error: device-side assert triggered"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        ("OSError", "[Errno 28] No space left on device"),
        ("cv2.error", "OpenCV(4.9) resize.cpp: error: (-215:Assertion failed) !ssize.empty()"),
        ("", ""),
    ],
)
def test_another_error(kind: str, message: str) -> None:
    assert not is_out_of_memory(kind, message)
