"""The end of this process by a signal: once all is put away that runs in it."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ASKING = [signal.SIGTERM]
if sys.platform == "win32":
    _ASKING.append(signal.SIGBREAK)


@contextmanager
def put_away_first() -> Iterator[None]:
    """Leave the block as by an exception for a signal that asks for an end; end by it after that.

    uvicorn, which handles them while it serves, raises them again when it is done: their own
    handlers would end the process there and then, or cancel what is left to do (asyncio's, for
    SIGINT). On Windows, where no process ends by a signal, this returns instead.
    """
    asked = []

    def leave(number: int, _: FrameType | None) -> None:
        asked.append(number)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in _ASKING}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except SystemExit:
        if not asked:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked and sys.platform != "win32":
            signal.raise_signal(asked[0])  # returns in the first process of a container
