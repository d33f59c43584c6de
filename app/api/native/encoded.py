"""The polled answers of ComfyUI's own protocol, made from JSON that is encoded once.

What is told of a task that waits or has ended does not change, so clients that poll cost little
more than the query that finds out which tasks there are.
"""

import json
from collections.abc import Sequence

from app.api.native.shapes import entry_of, row_of, short_row
from app.db.native_tasks import Ended, NativeTask, NativeTasks, Unfinished
from app.services.native_memory import NativeMemory

MOST_PROMPTS = 100  # rows of /queue that have their prompts

encode = json.JSONEncoder(separators=(",", ":")).encode


async def queue_bytes(mine: NativeTasks, memory: NativeMemory) -> bytes:
    """Return the answer of GET /queue."""
    found = await mine.unfinished()
    rows = await _rows(found[:MOST_PROMPTS], mine, memory)
    rows += [_short(one) for one in found[MOST_PROMPTS:]]
    running = [row for one, row in zip(found, rows, strict=True) if one.is_running]
    pending = [row for one, row in zip(found, rows, strict=True) if not one.is_running]
    return (
        b"".join(
            [b'{"queue_running":[', b",".join(running), b'],"queue_pending":[', b",".join(pending)]
        )
        + b"]}"
    )


async def _rows(
    found: Sequence[Unfinished], mine: NativeTasks, memory: NativeMemory
) -> list[bytes]:
    known = {one.task_id: memory.rows.get((one.task_id, one.created_at)) for one in found}
    unknown = [task_id for task_id, row in known.items() if row is None]
    for whole in await mine.whole(unknown) if unknown else ():
        row = encode(row_of(whole)).encode()
        known[whole.task.task_id] = row
        memory.rows.put((whole.task.task_id, whole.task.created_at), row)
    # One that was deleted since is as it was
    return [known[one.task_id] or _short(one) for one in found]


def _short(one: Unfinished) -> bytes:
    row = short_row(one.number, one.task_id, one.client_id, one.created_at)
    return encode(row).encode()


async def newest_history(mine: NativeTasks, memory: NativeMemory, owner: str | None) -> bytes:
    """Return the newest entries of the caller's history: the last answer, if it is still right."""
    found = tuple(await mine.newest())
    last = memory.answers.get(owner)
    if last is not None and last[0] == found:
        return last[1]
    answer = await history_bytes(found, mine, memory)
    memory.answers.put(owner, (found, answer))
    return answer


async def history_bytes(found: Sequence[Ended], mine: NativeTasks, memory: NativeMemory) -> bytes:
    """Return the answer of GET /history with these entries."""
    known = {one: memory.entries.get(one) for one in found}
    unknown = {one.task_id: one for one, entry in known.items() if entry is None}
    for whole in await mine.whole(list(unknown)) if unknown else ():
        one = unknown[whole.task.task_id]
        known[one] = entry_bytes(whole)
        memory.entries.put(one, known[one] or b"")
    return b"{" + b",".join([entry for entry in known.values() if entry]) + b"}"


def entry_bytes(found: NativeTask) -> bytes:
    return f"{encode(found.task.task_id)}:{encode(entry_of(found))}".encode()
