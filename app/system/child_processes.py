"""Processes that this one starts for a piece of work, and may have to end."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

if sys.platform == "win32":
    # No window and no Ctrl+C of ours, and no console window where we have none
    APART: dict[str, Any] = {"creationflags": subprocess.CREATE_NO_WINDOW}

    def end(process: subprocess.Popen[Any]) -> None:
        """End a process that was started with APART. What it started is in its job."""
        process.kill()

else:
    APART: dict[str, Any] = {"start_new_session": True}

    def end(process: subprocess.Popen[Any]) -> None:
        """End a process that was started with APART, and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
