"""Writing a file so that readers see the old one or the new one, never half of it."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, then rename. Raises OSError; leaves nothing behind then."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        partial.chmod(0o644)  # mkstemp makes files that only their owner can read
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
