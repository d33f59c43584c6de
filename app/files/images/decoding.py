"""Decoding of untrusted images in a process with limits (decoder.py).

Jobs with little memory run beside others; larger ones run one at a time. All functions block: they
run in threads of `Gateway.decoders`, which has places for two callers.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.errors import GatewayError, InvalidInput, NotInstalled, StorageFull, StorageUnavailable
from app.files.images import decoder
from app.files.images.jobs import MAX_DECODED, View
from app.system.child_processes import APART, end

SECONDS = 10  # CPU time of one process
DECODER_TIMEOUT = 40.0  # elapsed seconds for one process
# Bytes of a decoded image in a concurrent and in an exclusive job, and bytes of the whole process,
# including the interpreter, the result and encoders.
LITTLE, WITH_LITTLE = 40 << 20, 104 << 20
WITH_MOST = 400 << 20
# Errors that the process reports
_FAULTS = (InvalidInput, NotInstalled, StorageFull, StorageUnavailable)
_one_at_a_time = threading.Lock()  # for jobs of the higher level
_Level = tuple[int, int, AbstractContextManager[object]]
_LEVELS: tuple[_Level, ...] = (
    (LITTLE, WITH_LITTLE, nullcontext()),
    # Videos start here, as their frames may have any size
    (MAX_DECODED, WITH_MOST, _one_at_a_time),
)


def make_view(source: Path, target: Path, view: View, content_type: str) -> None:
    """Write the view of an image or video to `target`.

    Raises InvalidInput, NotInstalled, StorageFull and StorageUnavailable.
    """
    job = {"work": "view", "view": asdict(view), "content_type": content_type}
    takes_most = view.format is not None and content_type.startswith("video/")
    _done(job, source, target, levels=_LEVELS[1:] if takes_most else _LEVELS)


def apply_mask(original: Path, mask: Path, target: Path) -> None:
    """Write the original with the mask's alpha channel to `target`.

    Raises InvalidInput, StorageFull and StorageUnavailable.
    """
    _done({"work": "mask"}, original, mask, target)


def is_readable(path: Path) -> bool:
    """Return whether the header is that of an image. Raises InvalidInput for a huge one."""
    return _done({"work": "check"}, path) == 0


def _done(job: dict[str, Any], *paths: Path, levels: Sequence[_Level] = _LEVELS) -> int:
    """Run a job, with little memory if that suffices; return the exit code.

    The code is 0, or BROKEN for a check of a file that is no image.
    """
    text = json.dumps({**job, "paths": [str(path) for path in paths]})
    for allowed, memory, alone in levels:
        with alone:
            code, answer = _run(text, memory, allowed)
        if code != decoder.MORE:
            break
    if code in (0, decoder.BROKEN):
        return code
    if code == decoder.FAULT:
        raise _told(answer)
    raise InvalidInput(
        f"{paths[0].name!r} cannot be used: to read it takes more memory or time than is allowed."
    )


def _run(job: str, memory: int, allowed: int) -> tuple[int, bytes]:
    """Run the process; return its exit code and output."""
    limits = [str(limit) for limit in (SECONDS, memory, allowed)]
    command = [sys.executable, "-I", decoder.__file__, job, *limits]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **APART,
    ) as process:
        try:
            answer, _ = process.communicate(timeout=DECODER_TIMEOUT)
        except subprocess.TimeoutExpired:
            answer = b""
            end(process)
    return process.returncode, answer


def _told(answer: bytes) -> GatewayError:
    said = json.loads(answer)
    kinds: dict[str, type[GatewayError]] = {kind.code: kind for kind in _FAULTS}
    return kinds[said["code"]](said["detail"], hint=said["hint"], **said["extra"])
