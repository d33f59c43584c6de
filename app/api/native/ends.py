"""What a socket is told when a task has ended. Pure."""

from app.api.native import frames, shapes
from app.limits.json_types import Json
from app.tasks.model import Status, Task
from app.tasks.native import NativeResult

_ENDS = (shapes.SUCCESS, shapes.ERROR, shapes.INTERRUPTED)


def messages_of(task: Task, result: NativeResult | None, remaining: int) -> list[bytes]:
    """Return what is sent: the end, the caller's unfinished tasks, and that nothing of it runs.

    `result`: what is stored of the server's history; not needed of a task that succeeded.
    """
    kind, data = end_of(task, result)
    return [
        frames.text(kind, data),
        frames.status(remaining),
        frames.executing(None, task.task_id),
    ]


def end_of(task: Task, result: NativeResult | None) -> tuple[str, Json]:
    """Return the type and data of the message that its history has of the end of a task.

    It has all keys of ComfyUI 0.33, and those of the server that told it.
    """
    made = shapes.end_of(task)
    if task.status is Status.SUCCEEDED:
        return made[0], made[1]
    told = [one for one in shapes.messages_about(task, result) if one[0] in _ENDS]
    kind, data = told[-1] if told else made
    known = made[1] if made[0] == kind else {}
    return kind, {**known, **data, "prompt_id": task.task_id}
