"""Limits of this process, set by itself. Quick to import: small programs begin with it."""

import os
import sys
from contextlib import suppress

OPEN_FILES = 65536
LESS_URGENT = 5  # niceness relative to the process that started this one

if sys.platform == "win32":
    from app.system import windows

    def confine(
        *, cpu_seconds: int, data: int = 0, address_space: int = 0, file_bytes: int = 0
    ) -> None:
        """As below. Windows has no limit on files, and one on memory."""
        windows.confine(cpu_seconds, data or address_space)

    def raise_file_limit() -> None:
        """Windows limits no sockets, and files at 8,192."""

else:
    import resource

    def confine(
        *, cpu_seconds: int, data: int = 0, address_space: int = 0, file_bytes: int = 0
    ) -> None:
        """Limit this process and what it starts; 0 is no limit. macOS lacks some.

        cpu_seconds: of each process, which ends then
        data: bytes of memory that is its own
        address_space: bytes of that and of what it maps
        file_bytes: of each file that it writes
        """
        with suppress(OSError):
            os.nice(LESS_URGENT)
        for limit, value in (
            (resource.RLIMIT_DATA, data),
            (resource.RLIMIT_AS, address_space),
            (resource.RLIMIT_CPU, cpu_seconds),
            (resource.RLIMIT_FSIZE, file_bytes),
        ):
            if value:
                with suppress(ValueError, OSError):
                    resource.setrlimit(limit, (value, value))
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def raise_file_limit() -> None:
        """Each connection is an open file, and the usual limit is 1024 though more may be had."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        with suppress(ValueError, OSError):  # macOS has a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
