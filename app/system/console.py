"""The console that this process prints to."""

import io
import signal
import sys

if sys.platform == "win32":
    from app.system.windows import stop_when_closed
else:

    def stop_when_closed() -> None:
        """Turn the end of the terminal into SIGTERM, unless it is ignored (nohup)."""
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def print_anything() -> None:
    """Have escaped what the console's encoding lacks, such as Chinese on a Western Windows.

    By default a print of it raises UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # pythonw has none
            stream.reconfigure(errors="backslashreplace")


__all__ = ["print_anything", "stop_when_closed"]
