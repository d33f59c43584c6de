"""Claimed tasks, with all that their runs need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from app.db import native, prompts
from app.db.requirements import RequirementsCache
from app.limits.json_types import Json
from app.tasks.model import Task
from app.tasks.native import NativeRequest
from app.workflows.requirements import Needs


@dataclass(frozen=True, slots=True)
class Claim:
    """A task owned until its lease ends, with the graph to run and its needs."""

    task: Task
    prompt: Json = field(repr=False)
    needs: Needs
    extra: Json | None = field(default=None, repr=False)  # see app/workflows/extra_data.py
    # What else came with a task of ComfyUI's own protocol, or with the one that it repeats
    native_request: NativeRequest | None = None


def claims_of(
    connection: Connection,
    cache: RequirementsCache,
    found: Sequence[Task],
    parts: Mapping[str, prompts.PromptParts],
) -> list[Claim]:
    """Return the claims on these tasks, in their order; `parts` are of their prompts."""
    requirements = cache.read(connection, {task.requirements_id for task in found})
    native_ids = [task.task_id for task in found if task.native or task.retry_of]
    asked = native.requests(connection, native_ids) if native_ids else {}
    # A task without its prompt fails on its own; it must not block other claims.
    return [
        Claim(
            task,
            prompts.whole(parts[task.task_id]) if task.task_id in parts else {},
            requirements[task.requirements_id].needs,
            parts[task.task_id].extra if task.task_id in parts else None,
            asked.get(task.task_id),
        )
        for task in found
    ]
