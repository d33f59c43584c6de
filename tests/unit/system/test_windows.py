"""What is asked of Windows, with a pretend kernel32: the real one is not here."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from app.system import windows


class Kernel:
    """Answers each call with its name's entry, else 1, and notes it."""

    def __init__(self, **answers: int) -> None:
        self.answers, self.calls = answers, dict[str, tuple[Any, ...]]()

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls[name] = arguments
            return self.answers.get(name, 1)

        return call


def pretend(monkeypatch: pytest.MonkeyPatch, error: int = 0, **answers: int) -> Kernel:
    kernel = Kernel(**answers)
    monkeypatch.setattr(windows, "_kernel32", lambda: kernel)
    monkeypatch.setattr(windows.ctypes, "get_last_error", lambda: error, raising=False)
    told = lambda code: OSError(code, "refused")  # noqa: E731
    monkeypatch.setattr(windows.ctypes, "WinError", told, raising=False)
    return kernel


def test_structures_have_the_sizes_of_windows() -> None:
    """Where a pointer has 8 bytes."""
    assert ctypes.sizeof(windows.BasicLimits) == 64
    assert ctypes.sizeof(windows.ExtendedLimits) == 144


def test_a_process_is_confined_before_it_does_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = pretend(monkeypatch, CreateJobObjectW=7, GetCurrentProcess=-1)
    windows.confine(10, 100 << 20)
    job, kind, limits, size = kernel.calls["SetInformationJobObject"]
    assert (job, kind, size) == (7, 9, 144)
    set_ = limits._obj
    assert set_.basic.flags == 0x2 | 0x100 | 0x400 | 0x2000
    assert set_.basic.per_process_user_time == 10 * 10_000_000
    assert set_.process_memory == 100 << 20
    assert kernel.calls["AssignProcessToJobObject"] == (7, -1)
    assert "CloseHandle" not in kernel.calls, "the job would end, and this process with it"
    assert kernel.calls["SetPriorityClass"] == (-1, 0x4000)


@pytest.mark.parametrize(
    "call", ["CreateJobObjectW", "SetInformationJobObject", "AssignProcessToJobObject"]
)
def test_nothing_is_done_without_limits(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    pretend(monkeypatch, error=5, **{call: 0})
    with pytest.raises(OSError, match="refused"):
        windows.confine(10, 100 << 20)


@pytest.mark.parametrize(
    ("process", "error", "waited", "running"),
    [
        (8, 0, windows.WAIT_TIMEOUT, True),
        (8, 0, 0, False),  # ended, but somebody has a handle
        (0, 87, 0, False),  # no such process
        (0, windows.ERROR_ACCESS_DENIED, 0, True),  # another user's
    ],
)
def test_a_process_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, process: int, error: int, waited: int, running: bool
) -> None:
    kernel = pretend(monkeypatch, error, OpenProcess=process, WaitForSingleObject=waited)
    assert windows.is_running(4242) is running
    assert kernel.calls["OpenProcess"] == (windows.SYNCHRONIZE, False, 4242)
    assert ("CloseHandle" in kernel.calls) is bool(process)


def test_a_closed_window_is_a_signal_and_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    raised, slept = [], []
    monkeypatch.setattr(windows, "signal", SimpleNamespace(SIGBREAK=21, raise_signal=raised.append))
    monkeypatch.setattr(windows.time, "sleep", slept.append)
    assert [windows._close(event) for event in range(7)] == [
        *(False, False, True, False, False, True, True)
    ]
    assert raised == [21] * 3
    assert min(slept) > 5, "Windows ends the process when the handler returns"
