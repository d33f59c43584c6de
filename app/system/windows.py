"""Calls of the Windows API that Python has no name for. Imported on Windows only.

Structures and constants are those of winnt.h and winbase.h.
"""

import ctypes
import signal
import time
from ctypes import wintypes
from typing import Any

TIME, CRASH, MEMORY, KILL_ON_CLOSE = 0x2, 0x400, 0x100, 0x2000  # limits of a job
BELOW_NORMAL = 0x4000
EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
SYNCHRONIZE = 0x00100000
WAIT_TIMEOUT = 0x102
ERROR_ACCESS_DENIED = 5
CLOSING = (2, 5, 6)  # of the console window, the session, the machine
CLOSING_SECONDS = 10.0  # Windows itself waits 5 for a window that is closed

_kept: list[object] = []  # a job and a handler, for as long as this process runs


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION"""

    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),  # in units of 100 ns
        ("per_job_user_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION"""

    _fields_ = (
        ("basic", BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


def _kernel32() -> Any:
    """With the types of what is called here: handles have 64 bits."""
    found = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    handle, dword, flag = wintypes.HANDLE, wintypes.DWORD, wintypes.BOOL
    for name, answer, arguments in (
        ("CreateJobObjectW", handle, (wintypes.LPVOID, wintypes.LPCWSTR)),
        ("SetInformationJobObject", flag, (handle, ctypes.c_int, wintypes.LPVOID, dword)),
        ("AssignProcessToJobObject", flag, (handle, handle)),
        ("GetCurrentProcess", handle, ()),
        ("SetPriorityClass", flag, (handle, dword)),
        ("OpenProcess", handle, (dword, flag, dword)),
        ("WaitForSingleObject", dword, (handle, dword)),
        ("CloseHandle", flag, (handle,)),
        ("SetConsoleCtrlHandler", flag, (wintypes.LPVOID, flag)),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = answer, arguments
    return found


def confine(cpu_seconds: int, memory: int) -> None:
    """Put this process into a job with limits, which holds what it starts, too.

    cpu_seconds: of each process, outside of the kernel; it ends then
    memory: bytes that each process may commit

    It ends without a dialog if it crashes. This process has the only handle of the job: with
    it, however it ends, all that it has started ends. Raises OSError.
    """
    api = _kernel32()
    limits = ExtendedLimits()
    limits.basic.flags = TIME | CRASH | MEMORY | KILL_ON_CLOSE
    limits.basic.per_process_user_time = cpu_seconds * 10_000_000
    limits.process_memory = memory
    job = _made(api.CreateJobObjectW(None, None))
    _kept.append(job)
    size = ctypes.sizeof(limits)
    _made(api.SetInformationJobObject(job, EXTENDED_LIMITS, ctypes.byref(limits), size))
    _made(api.AssignProcessToJobObject(job, api.GetCurrentProcess()))
    api.SetPriorityClass(api.GetCurrentProcess(), BELOW_NORMAL)


def is_running(pid: int) -> bool:
    """Return whether there is such a process. `os.kill(pid, 0)` would end it here."""
    api = _kernel32()
    process = api.OpenProcess(SYNCHRONIZE, False, pid)
    if not process:
        return ctypes.get_last_error() == ERROR_ACCESS_DENIED  # type: ignore[attr-defined,no-any-return]
    try:  # one that has ended is there for as long as somebody has a handle
        return bool(api.WaitForSingleObject(process, 0) == WAIT_TIMEOUT)
    finally:
        api.CloseHandle(process)


def stop_when_closed() -> None:
    """Turn the end of the console window, the session or the machine into SIGBREAK.

    Python's own handler does as well, but returns at once, and with it the process ends.
    """
    kind = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)  # type: ignore[attr-defined]
    handler = kind(_close)
    _kept.append(handler)
    _kernel32().SetConsoleCtrlHandler(handler, True)


def _close(event: int) -> bool:
    if event not in CLOSING:
        return False
    signal.raise_signal(signal.SIGBREAK)  # type: ignore[attr-defined]
    time.sleep(CLOSING_SECONDS)  # in a thread of its own, which ends with the process
    return True


def _made(answer: Any) -> Any:
    if not answer:
        raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined]
    return answer
