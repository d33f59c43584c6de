"""Processes that others have started."""

import os
import sys

if sys.platform == "win32":
    from app.system.windows import is_running
else:

    def is_running(pid: int) -> bool:
        """Return whether there is such a process."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


__all__ = ["is_running"]
