"""How start.py is started here; imports nothing of ours, and no package."""

import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

START = Path(__file__).parents[2] / "start.py"


def own_command(*arguments: str) -> str:
    """Return the line that starts this program with other arguments, from the present folder, as
    a shell reads it (PowerShell on Windows): by the Python that runs it now, which has what it
    needs."""
    words = [_from_here(Path(sys.executable or "python")), _from_here(START), *arguments]
    if sys.platform != "win32":
        return shlex.join(words)
    return ("& " if " " in words[0] else "") + subprocess.list2cmdline(words)


def _from_here(path: Path) -> str:
    with suppress(OSError, ValueError):  # there is no such folder any more; it is not below it
        return str(path.relative_to(Path.cwd()))
    return str(path)


def cannot_import(error: ImportError) -> str:
    """Return what to tell an operator whose Python lacks a package; raise the error again if it
    is not of a package."""
    if (error.name or "").partition(".")[0] in ("app", "fake_comfyui", "start"):
        raise error
    python = r".venv\Scripts\python" if sys.platform == "win32" else ".venv/bin/python"
    version = sys.version.split()[0]
    return (
        f"{sys.executable} (Python {version}) cannot run the gateway: {error}. Start it "
        f"with {python} start.py; if that says the same, install what requirements.txt names: "
        f"make setup, or {python} -m pip install -r requirements.txt."
    )
