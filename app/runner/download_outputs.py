"""Downloads the files of one task from its server, with a limited number of retries.

A file that cannot be downloaded does not mean that the server is lost. If a request for a file is
answered with an error, or its connection is closed, a health check decides: if the server answers
it, only the file counts as missing.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from app.comfyui.results import FileResult
from app.errors import ComfyError, ComfyMissing, ComfySilent, ComfyUnreachable
from app.servers.server import Server

Keep = Callable[[FileResult, AsyncIterator[bytes], str | None], Awaitable[None]]

# Seconds before each retry of a file while the server answers other requests
PAUSES = (0.3, 0.7, 1.0)
# Seconds before each retry after errors of a proxy, tunnel or login in front of the server, which
# are temporary
PAUSES_IN_FRONT = (*PAUSES, 3.0, 6.0, 12.0)
HEALTH = 5.0  # seconds in which a healthy server answers the health check
OWN_FAULT = 500  # the status that ComfyUI itself answers on an error
IN_A_ROW = 20  # failed files of one node in a row after which the rest of the node is skipped
IN_VAIN = 200  # failed files of a task after which the rest is skipped
SECONDS_IN_VAIN = 45.0  # seconds spent on failed files after which the rest is skipped
RELUCTANT = 3  # files that failed all their retries; from then on each file is tried once

NOT_ASKED = "It was not asked for: too many others before it were not to be had."
UNNAMEABLE = (
    "ComfyUI does not hand out a file whose name has control characters, such as a new line: "
    "take them out of the filename_prefix."
)
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def is_nameable(result: FileResult) -> bool:
    """Return False if the file name has characters that no HTTP header can carry."""
    return not _CONTROL.search(result.filename)


class Fetching:
    """Passes files to `keep` with their content type.

    `once` makes a single attempt; `fetch` retries and returns why a file could not be downloaded.
    """

    def __init__(self, server: Server, keep: Keep) -> None:
        self._server = server
        self._keep = keep
        self._node_id = ""  # the node of the file that was requested last
        self._row = 0
        self._vain = 0
        self._seconds = 0.0
        self._tried = 0  # files that failed all their retries

    async def once(self, result: FileResult) -> None:
        """Download the file in one attempt. Raises ComfyMissing, ComfyUnreachable or ComfyError."""
        view = self._server.client.view(
            result.filename, subfolder=result.subfolder, type=result.type
        )
        async with view as file:
            await self._keep(result, file.chunks, file.content_type)

    async def fetch(self, result: FileResult) -> str | None:
        """Download the file, with retries; return the reason if that fails, None on success.

        Raises ComfyUnreachable if the server does not answer the health check either.
        """
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
        """Return the seconds before each retry that makes sense after this error."""
        if not is_nameable(result) or self._tried >= RELUCTANT:
            return ()
        if isinstance(error, ComfySilent):
            return PAUSES[:1]  # the process may have been suspended for a moment
        return PAUSES if error.answered in (None, OWN_FAULT) else PAUSES_IN_FRONT

    async def _check_server(self, error: ComfyError) -> None:
        """Raise ComfyUnreachable if the server does not answer a health check either."""
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
