"""Asking one server about one prompt, and getting the prompt onto it exactly once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.comfyui.answers import leaves_doubt
from app.comfyui.history import PromptState, Sighting
from app.errors import ComfyError, ComfyUnreachable
from app.limits.json_types import Json
from app.servers.server import Server
from app.tasks.model import Attempt
from app.tasks.outcome import SECOND_TRIES, Lost, forgotten

T = TypeVar("T")


class RemotePrompt:
    """Asks one server about one prompt, patiently: a server that does not answer is asked again
    for `grace` seconds, or until it is given up. Raises ComfyUnreachable after that."""

    def __init__(self, server: Server, prompt_id: str, *, grace: float, retry: float) -> None:
        self._server = server
        self._prompt_id = prompt_id
        self._grace = grace
        self._retry = retry
        self._seen: tuple[PromptState, float] | None = None  # at the last look, and when
        self._absences: int | None = None  # of the server, when it got the prompt from us

    async def retrying(
        self,
        ask: Callable[[], Awaitable[T]],
        transient: type[ComfyError] = ComfyUnreachable,
    ) -> T:
        """`transient`: after which errors it is asked again."""
        until = time.monotonic() + self._grace
        while True:
            try:
                async with self._server.while_hoped_for():
                    return await ask()
            except transient:
                self._server.look_now()
                if self._server.given_up or time.monotonic() > until:
                    raise
                await asyncio.sleep(self._retry)

    async def look(self, *, finished: bool = False) -> Sighting:
        """Where the prompt is now. `finished`: it is expected to be over."""
        find = self._server.client.find
        asked = time.monotonic()
        # Whatever is wrong with such an answer, it is not what became of the prompt.
        sighting = await self.retrying(
            lambda: find(self._prompt_id, finished=finished), transient=ComfyError
        )
        before, self._seen = self._seen, (sighting.state, asked)
        if before is not None and before[0] is not sighting.state:
            self._server.ear.queue_changed(before[1])
        return sighting

    def loss(self) -> Lost:
        """The end of a try of which the server knows nothing."""
        if self._absences == self._server.absences:
            return forgotten(self._server.id)
        return Lost("server_restarted", f"{self._server.id} no longer knows the prompt.")

    async def exists(self) -> bool:
        return (await self.look()).state is not PromptState.UNKNOWN

    async def has_it_from(self, attempts: Sequence[Attempt]) -> bool:
        """Does the server have it already? Asked wherever it may: no prompt is to run twice."""
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

    async def forget(self) -> bool:
        """Remove the prompt's past from the history, so that it does not pass for its present.
        False where the server refuses that: its past is all that will be told of it."""
        try:
            await self.retrying(lambda: self._server.client.delete_history([self._prompt_id]))
        except ComfyUnreachable:
            raise
        except ComfyError:
            return False
        return True

    async def post(self, prompt: Json, extra: Json) -> Json:
        """Queue the prompt, with `extra` as its extra_data; answers node_errors. ComfyUI runs a
        repeated id again, so after a POST without an answer of its own it is looked for before
        another one is sent. Raises ComfyError for an answer of something else."""

        async def post() -> Json:
            since, self._absences = time.monotonic(), self._server.absences
            try:
                node_errors = await self._server.client.queue_prompt(
                    with_titles(prompt),
                    prompt_id=self._prompt_id,
                    client_id=self._server.client_id,
                    extra=extra,
                )
                self._server.ear.queue_changed(since)
                return node_errors
            except ComfyError as error:
                if await self._has_it_after(error):
                    return {}
                raise

        return await self.retrying(post)

    async def _has_it_after(self, error: ComfyError) -> bool:
        """Whether the server took the prompt all the same; if not, it may still come to that: the
        server is swept of such prompts for a while."""
        if isinstance(error, ComfyUnreachable):
            return await self.exists()
        if not leaves_doubt(error.answered):
            return False
        self._server.doubted_at = time.time()
        try:
            return await self.exists()
        except ComfyUnreachable:
            raise
        except ComfyError:  # it answers this no better
            return False


def is_past(attempts: Sequence[Attempt], server_id: str) -> bool:
    """Was the last run on that server judged already, by its history? Then what the history says
    is old news."""
    here = [attempt for attempt in attempts if attempt.server == server_id]
    return bool(here) and here[-1].outcome in (*SECOND_TRIES, "failed")


def nodes_of(prompt: Json, class_type: str) -> list[str]:
    return [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]


def with_titles(prompt: Json) -> Json:
    """ComfyUI answers 500 for a node whose class is gone and that has no `_meta`."""
    return {
        node_id: node
        if isinstance(node.get("_meta"), dict)
        else {**node, "_meta": {"title": node["class_type"]}}
        for node_id, node in prompt.items()
    }


def warnings_of(node_errors: Json) -> list[str]:
    """ComfyUI leaves out the outputs that fail its checks, and runs the rest."""
    return [
        f"ComfyUI left out what depends on node {node_id}: "
        f"{error.get('message')} ({error.get('details')})"
        for node_id, node in node_errors.items()
        for error in node.get("errors", ())
    ]
