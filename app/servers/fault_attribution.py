"""Whether an error of a node speaks against its server or only against the graph. Pure."""

import builtins
import re

# Python's errors for values, names and paths that come from the graph; also used by ComfyUI's
# nodes.
_OF_THE_GRAPH = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(NameError, SyntaxError, RecursionError, NotImplementedError),
    *(FileNotFoundError, FileExistsError, PermissionError),
    *(IsADirectoryError, NotADirectoryError),
)
# Errors of disk, memory, open files and quotas; other numbers concern paths (36: name too long).
_OF_THE_MACHINE = {5, 12, 23, 24, 28, 30, 122}
_ERRNO = re.compile(r"\[Errno (\d+)\]")
# Nodes raise the bare type to reject input, as SaveImage does for paths outside its folder; the
# others are ComfyUI's own, for graphs that cannot be run.
_NO_FAULT = {
    "Exception",
    "BaseException",
    "DependencyCycleError",
    "NodeInputError",
    "NodeNotFoundError",
}


def speaks_against_server(exception_type: str, message: str) -> bool:
    """Return whether an error counts against the server.

    `exception_type` as ComfyUI reports it, with or without a module: `torch.OutOfMemoryError`.
    Types that are not Python's count, as errors of drivers are among them.
    """
    module, _, name = exception_type.rpartition(".")
    kind = getattr(builtins, name, None) if module in ("", "builtins") else None
    if name in _NO_FAULT or not isinstance(kind, type):
        return name not in _NO_FAULT
    if kind is OSError:
        number = _ERRNO.match(message.strip())
        return number is None or int(number[1]) in _OF_THE_MACHINE
    return not issubclass(kind, _OF_THE_GRAPH)
