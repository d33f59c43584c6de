"""The console that this process prints to."""

import io
import sys

if sys.platform == "win32":
    from app.system.windows import stop_when_closed
else:

    def stop_when_closed() -> None:
        """Elsewhere the end of a terminal or a session is a signal, and waits for us."""


def print_anything() -> None:
    """Have escaped what the console's encoding lacks, such as Chinese on a Western Windows.

    By default a print of it raises UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # pythonw has none
            stream.reconfigure(errors="backslashreplace")


__all__ = ["print_anything", "stop_when_closed"]
