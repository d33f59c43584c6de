"""Which errors speak against the server."""

import pytest

from app.servers.fault_attribution import speaks_against_server


@pytest.mark.parametrize(
    ("kind", "message", "counts"),
    [
        ("RuntimeError", "CUDA error: device-side assert triggered", True),
        ("torch.AcceleratorError", "HIP error", True),
        ("torch.OutOfMemoryError", "", True),
        ("MemoryError", "", True),
        ("ModuleNotFoundError", "No module named 'sageattention'", True),
        ("ConnectionResetError", "", True),
        ("OSError", "[Errno 28] No space left on device", True),
        ("OSError", "[Errno 36] File name too long: '[Errno 28]'", False),
        ("Exception", "Saving image outside the output folder is not allowed.", False),
        ("ValueError", "CUDA error", False),
        ("builtins.KeyError", "", False),
        ("UnicodeEncodeError", "", False),
        ("FileNotFoundError", "[Errno 2] No such file", False),
        ("PermissionError", "", False),
        ("graph.DependencyCycleError", "", False),
    ],
)
def test_which_errors_speak_against_a_server(kind: str, message: str, counts: bool) -> None:
    assert speaks_against_server(kind, message) is counts
