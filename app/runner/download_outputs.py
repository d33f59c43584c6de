"""Asks one server for the files of one task, each a few times, and not for ever.

One file that cannot be had is no lost server: whoever closes the connection to a request for a
file, or answers it with an error, is asked whether it is well. If it is, the file is missing.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from app.comfyui.results import FileResult
from app.errors import ComfyError, ComfyMissing, ComfySilent, ComfyUnreachable
from app.servers.server import Server

Keep = Callable[[FileResult, AsyncIterator[bytes], str | None], Awaitable[None]]

# Seconds before each further try to get a file from a server that answers other requests
PAUSES = (0.3, 0.7, 1.0)
# ... and from what stands in front of it: a proxy, a tunnel, a login. Those come back.
PAUSES_IN_FRONT = (*PAUSES, 3.0, 6.0, 12.0)
HEALTH = 5.0  # seconds in which a server that is well says so
OWN_FAULT = 500  # what ComfyUI itself answers
IN_A_ROW = 20  # files of a node that are not to be had: the rest of it is not asked for
IN_VAIN = 200  # files of a task
SECONDS_IN_VAIN = 45.0  # spent on them
RELUCTANT = 3  # files that were tried several times: from then on each is tried once

NOT_ASKED = "It was not asked for: too many others before it were not to be had."
UNNAMEABLE = (
    "ComfyUI does not hand out a file whose name has control characters, such as a new line: "
    "take them out of the filename_prefix."
)
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def is_nameable(result: FileResult) -> bool:
    """False if the name holds characters that no header of an answer can have."""
    return not _CONTROL.search(result.filename)


class Fetching:
    """`once` hands a file to `keep` (with its content type), `fetch` says why it could not."""

    def __init__(self, server: Server, keep: Keep) -> None:
        self._server = server
        self._keep = keep
        self._node_id = ""  # whose files are asked for
        self._row = 0
        self._vain = 0
        self._seconds = 0.0
        self._tried = 0  # files that were tried several times, in vain

    async def once(self, result: FileResult) -> None:
        """Raises ComfyMissing, ComfyUnreachable and ComfyError."""
        view = self._server.client.view(
            result.filename, subfolder=result.subfolder, type=result.type
        )
        async with view as response:
            said = response.headers.get("content-type")
            await self._keep(result, response.aiter_bytes(), said)

    async def fetch(self, result: FileResult) -> str | None:
        """Why the file is not to be had; None if it was handed over. Raises ComfyUnreachable if
        the server itself does not answer."""
        if result.node_id != self._node_id:
            self._node_id, self._row = result.node_id, 0
        if self._row >= IN_A_ROW or self._vain >= IN_VAIN or self._seconds >= SECONDS_IN_VAIN:
            return NOT_ASKED
        began = time.monotonic()
        reason = await self._try(result)
        if reason is None:
            self._row = 0
        elif not result.optional:
            self._row, self._vain = self._row + 1, self._vain + 1
            self._seconds += time.monotonic() - began
        return reason

    async def _try(self, result: FileResult) -> str | None:
        tries = 0
        while True:
            tries += 1
            try:
                await self.once(result)
            except ComfyMissing as error:
                return error.detail
            except ComfyError as error:
                await self._check_server(error)
                pauses = self._pauses(result, error)
                if tries > len(pauses):
                    self._tried += 1
                    return self._reason(result, error)
            else:
                return None
            await asyncio.sleep(pauses[tries - 1])

    def _pauses(self, result: FileResult, error: ComfyError) -> tuple[float, ...]:
        """Before the further tries that are worth it after this error."""
        if not is_nameable(result) or self._tried >= RELUCTANT:
            return ()
        if isinstance(error, ComfySilent):
            return PAUSES[:1]  # it was frozen, perhaps, and is well again
        return PAUSES if error.answered in (None, OWN_FAULT) else PAUSES_IN_FRONT

    async def _check_server(self, error: ComfyError) -> None:
        """Raises ComfyUnreachable if it does not answer anything else either."""
        try:
            async with asyncio.timeout(HEALTH):
                await self._server.client.system_stats()
        except (ComfyError, TimeoutError):
            raise ComfyUnreachable(error.detail) from error

    def _reason(self, result: FileResult, error: ComfyError) -> str:
        if not is_nameable(result):
            return UNNAMEABLE
        if not isinstance(error, ComfyUnreachable) or error.answered is not None:
            return error.detail
        how = "does not send it in time" if isinstance(error, ComfySilent) else "breaks off"
        return f"ComfyUI at {self._server.id} answers, but {how} when asked for this file."
