"""Requests about one prompt on one server, and its exactly-once submission."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.comfyui.answers import leaves_doubt
from app.comfyui.history import HistoryEntry, PromptState, Sighting
from app.errors import ComfyError, ComfyUnreachable
from app.limits.json_types import Json
from app.servers.server import Server
from app.tasks.model import Attempt
from app.tasks.outcome import SECOND_TRIES, Lost, Moved, Outcome, forgotten

RETRY_SECONDS = 0.5  # before the next attempt to reach a server that does not answer

T = TypeVar("T")


class RemotePrompt:
    """Requests about one prompt, retried while the server does not answer.

    Retries end after `grace` seconds or when the server is given up; then ComfyUnreachable is
    raised.
    """

    def __init__(self, server: Server, prompt_id: str, *, grace: float) -> None:
        self._server = server
        self._prompt_id = prompt_id
        self._grace = grace
        self._seen: tuple[PromptState, float] | None = None  # state at the last look, and its time
        self._absences: int | None = None  # the server's `absences` at the time of the POST

    async def retrying(
        self,
        ask: Callable[[], Awaitable[T]],
        transient: type[ComfyError] = ComfyUnreachable,
    ) -> T:
        """Call `ask` until it succeeds; `transient` is the class of errors that are retried."""
        until = time.monotonic() + self._grace
        while True:
            try:
                async with self._server.requests.one():
                    return await ask()
            except transient:
                self._server.look_now()
                if self._server.given_up or time.monotonic() > until:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    async def look(self, *, finished: bool = False) -> Sighting:
        """Return where the prompt is now. `finished`: it is expected to be in the history."""
        find = self._server.client.find
        asked = time.monotonic()
        # An error here says nothing about the prompt, so every ComfyError is retried.
        sighting = await self.retrying(
            lambda: find(self._prompt_id, finished=finished), transient=ComfyError
        )
        before, self._seen = self._seen, (sighting.state, asked)
        if before is not None and before[0] is not sighting.state:
            self._server.ear.queue_changed(before[1])
        return sighting

    def loss(self) -> Lost:
        """Return the outcome of an attempt that the server has no record of."""
        if self._absences == self._server.absences:
            return forgotten(self._server.id)
        return Lost("server_restarted", f"{self._server.id} no longer knows the prompt.")

    def note_end(self, entry: HistoryEntry | None) -> None:
        """Note how long the prompt ran, and how long its slot was needed after that."""
        if entry is not None and entry.seconds is not None and self._seen is not None:
            self._server.pace.ended(entry.seconds, time.monotonic() - self._seen[1])

    async def exists(self) -> bool:
        return (await self.look()).state is not PromptState.UNKNOWN

    async def has_it_from(self, attempts: Sequence[Attempt]) -> bool:
        """Return whether the server already has the prompt; checked so that none runs twice."""
        if all(attempt.server != self._server.id for attempt in attempts):
            return False
        sighting = await self.look()
        if sighting.state is PromptState.FINISHED and is_past(attempts, self._server.id):
            return not await self.forget()
        return sighting.state is not PromptState.UNKNOWN

    async def cancel(self) -> None:
        await self.retrying(lambda: self._server.client.cancel(self._prompt_id))

    async def withdraw(self) -> None:
        await self.retrying(lambda: self._server.client.withdraw(self._prompt_id))

    async def take_off(self, reason: str, *, has_begun: bool, force: bool) -> Outcome | None:
        """Take the prompt off the server, and with `force` even if it runs; return None if it is
        still there."""
        await self.withdraw()
        state = (await self.look()).state
        if state is PromptState.UNKNOWN and not has_begun:
            return Moved(reason)
        if state is PromptState.RUNNING and force:
            await self.cancel()
            return Lost("server_removed", reason)
        return None

    async def forget(self) -> bool:
        """Delete the prompt's earlier entry from the history, so that it is not taken for the new
        one.

        Return False if the server refuses the deletion.
        """
        try:
            await self.retrying(lambda: self._server.client.delete_history([self._prompt_id]))
        except ComfyUnreachable:
            raise
        except ComfyError:
            return False
        return True

    async def post(self, prompt: Json, extra: Json, targets: Sequence[str] | None = None) -> Json:
        """Queue the prompt with `extra` as its extra_data; return ComfyUI's node_errors.

        `targets`: the output nodes to run, None for all.

        ComfyUI runs a repeated prompt id again, so after a POST without a usable answer the prompt
        is searched for before it is sent again. Raises ComfyError for an answer that is not
        ComfyUI's.
        """

        async def post() -> Json:
            since, self._absences = time.monotonic(), self._server.absences
            try:
                node_errors = await self._server.client.queue_prompt(
                    with_titles(prompt),
                    prompt_id=self._prompt_id,
                    client_id=self._server.client_id,
                    extra=extra,
                    targets=targets,
                )
                self._server.ear.queue_changed(since)
                self._server.pace.sent(time.monotonic() - since)
                return node_errors
            except ComfyError as error:
                if await self._has_it_after(error):
                    return {}
                raise

        return await self.retrying(post)

    async def _has_it_after(self, error: ComfyError) -> bool:
        """Return whether the server has the prompt in spite of the error.

        If not, the prompt may still arrive later, so the server is swept for it for a while.
        """
        if isinstance(error, ComfyUnreachable):
            return await self.exists()
        if not leaves_doubt(error.answered):
            return False
        self._server.doubted_at = time.time()
        try:
            return await self.exists()
        except ComfyUnreachable:
            raise
        except ComfyError:  # this request fails in the same way
            return False


def is_past(attempts: Sequence[Attempt], server_id: str) -> bool:
    """Return whether the last attempt on that server was already judged by its history.

    If so, the history entry is that of the earlier attempt.
    """
    here = [attempt for attempt in attempts if attempt.server == server_id]
    return bool(here) and here[-1].outcome in (*SECOND_TRIES, "failed")


def nodes_of(prompt: Json, class_type: str) -> list[str]:
    return [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]


def with_titles(prompt: Json) -> Json:
    """Add a title to nodes without `_meta`: ComfyUI answers 500 if the class of such a node is
    gone."""
    return {
        node_id: node
        if isinstance(node.get("_meta"), dict)
        else {**node, "_meta": {"title": node["class_type"]}}
        for node_id, node in prompt.items()
    }


def warnings_of(node_errors: Json) -> list[str]:
    """Return a warning for each node error: ComfyUI skips outputs that fail validation."""
    return [
        f"ComfyUI left out what depends on node {node_id}: "
        f"{error.get('message')} ({error.get('details')})"
        for node_id, node in node_errors.items()
        for error in node.get("errors", ())
    ]
