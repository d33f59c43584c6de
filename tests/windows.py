"""PLATFORM=windows: our modules run as on Windows, as far as that can be had on another system.

They, and no others, are told that this is Windows, and find no module, function or option that it
lacks. Its API is a small one of ours; clocks are as coarse; text without an encoding is read as
CP-1252. Python programs that tests start run so, too: through this file.

    python tests/windows.py -m MODULE | -c CODE | PROGRAM ...
"""

import asyncio
import builtins
import ctypes
import datetime
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

if sys.platform != "win32":  # where tests run as they are
    import resource

ROOT = Path(__file__).parent.parent
IS_ON = os.environ.get("PLATFORM") == "windows"
OURS = ("app", "fake_comfyui", "start")
LACKING = json.loads((ROOT / "tests/fixtures/windows_lacks.json").read_text(encoding="utf-8"))
TICK = 1 / 64  # seconds between two times that differ
POSIX_OPTIONS = {
    *("pass_fds", "preexec_fn", "start_new_session", "process_group", "user", "group", "umask"),
}
METHODS = (
    *("add_signal_handler", "remove_signal_handler", "add_reader", "add_writer"),
    *("create_unix_server", "create_unix_connection"),
)


class Seen(ModuleType):
    """A module as our modules see it: without what Windows lacks, and with what it has besides."""

    def __init__(self, real: ModuleType, **besides: Any) -> None:
        super().__init__(real.__name__)
        lacks = frozenset(LACKING["names"].get(real.__name__, ()))
        self.__dict__.update(_real=real, _lacks=lacks, _besides=besides, _former={})

    def __getattr__(self, name: str) -> Any:
        if name in self._besides and name not in self._former:
            return self._besides[name]
        if name in self._lacks and name not in self._former:
            raise AttributeError(f"module {self.__name__!r} of Windows has no attribute {name!r}")
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Tests set attributes of modules that ours import: for all."""
        self._former.setdefault(name, getattr(self._real, name, None))
        setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        """So a test takes it back."""
        if name in self._former:
            setattr(self._real, name, self._former.pop(name))


def _coarse(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() // TICK * TICK


def _coarse_ns(clock: Callable[[], int]) -> Callable[[], int]:
    tick = int(TICK * 1e9)
    return lambda: clock() // tick * tick


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime.fromtimestamp(time.time() // TICK * TICK, tz)


def _kill(pid: int, number: int) -> None:
    raise AssertionError(f"os.kill({pid}, {number}) ends the process at once on Windows")


class Kernel32:
    """The calls of app/system/windows.py, done by what this system has."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._limits: Any = None

    def __getattr__(self, name: str) -> Any:
        work = vars(Kernel32).get(f"_{name}")
        return _Function(partial(work, self) if work else lambda *_: 1)

    def _SetInformationJobObject(self, job: int, kind: int, limits: Any, size: int) -> int:
        self._limits = limits._obj
        return 1

    def _AssignProcessToJobObject(self, job: int, process: int) -> int:
        seconds = self._limits.basic.per_process_user_time // 10_000_000
        for limit, value in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_DATA, self._limits.process_memory),
        ):
            outer = resource.getrlimit(limit)[1]  # a job in a job: the lower limit holds
            least = value if outer == resource.RLIM_INFINITY else min(value, outer)
            resource.setrlimit(limit, (least, least))
        os.setpgid(0, 0)
        return 1

    def _OpenProcess(self, rights: int, inherited: bool, pid: int) -> int:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return 0
        return pid

    def _WaitForSingleObject(self, process: int, milliseconds: int) -> int:
        return 0x102


class _Function:
    """As ctypes has them: types can be said of it."""

    restype: Any
    argtypes: Any

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work

    def __call__(self, *arguments: Any) -> Any:
        return self._work(*arguments)


def _as_windows(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a process but those that only Windows has. Raises ValueError as it does."""
    if wrong := POSIX_OPTIONS & options.keys():
        raise ValueError(f"{wrong} is not supported on Windows platforms")
    return {name: value for name, value in options.items() if name != "creationflags"}


class Popen(subprocess.Popen):  # type: ignore[type-arg]
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **_as_windows(options))


def _run(*arguments: Any, **options: Any) -> Any:
    return subprocess.run(*arguments, **_as_windows(options))


def _seen() -> dict[str, Seen]:
    besides: dict[str, dict[str, Any]] = {
        "sys": {"platform": "win32"},
        "os": {"name": "nt", "kill": _kill, "O_BINARY": 0},
        "signal": {"SIGBREAK": getattr(signal, "SIGTTIN", None)},
        "socket": {"SO_EXCLUSIVEADDRUSE": socket.SO_OOBINLINE},
        "time": {
            "time": _coarse(time.time),
            "monotonic": _coarse(time.monotonic),
            "time_ns": _coarse_ns(time.time_ns),
            "monotonic_ns": _coarse_ns(time.monotonic_ns),
        },
        "datetime": {"datetime": _Datetime},
        "subprocess": {"CREATE_NO_WINDOW": 0x08000000, "Popen": Popen, "run": _run},
        "ctypes": {
            "WinDLL": Kernel32,
            "WINFUNCTYPE": ctypes.CFUNCTYPE,
            "get_last_error": lambda: 87,
            "WinError": lambda code: OSError(code, "The parameter is incorrect"),
        },
    }
    modules = {*besides, *LACKING["names"]}
    return {name: Seen(importlib.import_module(name), **besides.get(name, {})) for name in modules}


def _import(
    name: str,
    globals: Any = None,
    locals: Any = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Any:
    if level == 0 and name.split(".")[0] in {*LACKING["modules"], "uvloop"}:
        raise ModuleNotFoundError(f"No module named {name!r} on Windows", name=name)
    found = builtins.__import__(name, globals, locals, fromlist, level)  # type: ignore[arg-type]
    return _SEEN.get(found.__name__, found)


def _open(file: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
    if "b" not in mode and len(more) < 2:
        options.setdefault("encoding", "cp1252")
    return builtins.open(file, mode, *more, **options)  # noqa: PTH123


_SEEN = _seen()
_BUILTINS = {**vars(builtins), "__import__": _import, "open": _open}


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = _BUILTINS
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.split(".")[0] not in OURS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _through_us(make: Callable[..., None]) -> Callable[..., None]:
    """Start Python programs through this file."""

    def made(process: Any, command: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(command, list | tuple) and str(command[0]) == sys.executable:
            words = [str(word) for word in command]
            at = 1
            while at < len(words) and words[at].startswith("-") and words[at] not in ("-c", "-m"):
                at += 2 if words[at] in ("-X", "-W") else 1
            is_others = words[at : at + 1] == ["-m"] and words[at + 1].split(".")[0] not in OURS
            if words[at:] and words[at] != __file__ and not is_others:
                command = [*words[:at], __file__, *words[at:]]
        make(process, command, *arguments, **options)

    return made


def _lacking(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("Event loops of Windows have no such method")


def skip_if_on(reason: str) -> None:
    """Skip a test of what Windows lacks."""
    if IS_ON or sys.platform == "win32":
        import pytest

        pytest.skip(f"not on Windows: {reason}")


def install() -> None:
    if sys.meta_path and isinstance(sys.meta_path[0], _Finder):
        return
    sys.meta_path.insert(0, _Finder())
    sys.modules["uvloop"] = None  # type: ignore[assignment]
    for method in METHODS:
        setattr(asyncio.SelectorEventLoop, method, _lacking)
    subprocess.Popen.__init__ = _through_us(subprocess.Popen.__init__)  # type: ignore[method-assign]


def main() -> None:
    """Run the program that is named, which is ours or a test's."""
    install()
    kind = sys.argv[1]
    module = ModuleType("__main__")
    if kind in ("-c", "-m"):
        what, rest = sys.argv[2], sys.argv[3:]
    else:
        what, rest = sys.argv[1], sys.argv[2:]
    if not sys.flags.isolated:
        sys.path[0] = "" if kind in ("-c", "-m") else str(Path(what).parent)
    if kind == "-c":
        code, sys.argv = compile(what, "<string>", "exec"), ["-c", *rest]
    else:
        path = _source_of(what) if kind == "-m" else Path(what).resolve()
        if kind == "-m":
            module.__package__ = what
        module.__file__, sys.argv = str(path), [str(path), *rest]
        code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
        if ROOT in path.parents and path.relative_to(ROOT).parts[0].removesuffix(".py") in OURS:
            vars(module)["__builtins__"] = _BUILTINS
    sys.modules["__main__"] = module
    exec(code, vars(module))


def _source_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        spec = importlib.util.find_spec(f"{module}.__main__")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin)


if __name__ == "__main__":
    main()
elif IS_ON:
    install()
