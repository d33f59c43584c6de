"""The request to run a workflow, independent of the API it came through."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.limits.json_types import Json
from app.services.batches import Mode
from app.tasks.model import Task
from app.tasks.native import NativePrompt, NativeRequest
from app.tasks.task_json import TaskJson
from app.tasks.webhook import Webhook
from app.workflows.formats import is_api
from app.workflows.secret_values import Secrets

SMALL = 16 * 1024  # bytes of a body with a prompt, which takes 2 ms to check


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to run a workflow: its JSON, or the `filename` of a saved one."""

    workflow: Any = field(default=None, repr=False)
    filename: str | None = None
    params: Json = field(default_factory=dict, repr=False)
    batch: dict[str, list[Any]] | None = field(default=None, repr=False)
    batch_mode: Mode = "product"
    metadata: Json | str = field(default_factory=dict, repr=False)
    timeout: float | None = None
    priority: int = 0
    server: str | None = None
    wait_for_server: bool = False
    webhook: Webhook | None = None
    # ComfyUI's extra_data without its secrets
    extra_data: Json = field(default_factory=dict, repr=False)
    secrets: Secrets = field(default_factory=dict, repr=False)  # the secrets of extra_data
    warnings: tuple[str, ...] = ()  # about fields that have no effect
    prompt_id: str | None = None  # the task's id, if the client chose it
    randomize: bool = False  # draw seeds anew: in a UI file those marked so, in an API file all
    # {a|b}, %date:...%; None: only in texts that params set in a UI file
    fill_texts: bool | None = None
    embed_workflow: bool = True  # embed the workflow, in UI format, in the result files
    native: NativePrompt | None = None  # set if it came through ComfyUI's own protocol
    native_request: NativeRequest | None = None
    size: int | None = None  # bytes of the body that it came in as a whole; None: not known

    @property
    def is_small(self) -> bool:
        """Whether it is worked on in the event loop: a hop to a thread would take as long.

        UI files, dynamic texts and batches may stand for far more than their bytes.
        """
        return (
            self.size is not None
            and self.size <= SMALL
            and is_api(self.workflow)
            and not (self.batch or self.fill_texts)
        )

    def forget(self) -> None:
        """Drop the large fields once queued, while the request waits for the end."""
        for name in ("workflow", "batch"):
            object.__setattr__(self, name, None)
        for name in ("params", "extra_data"):
            object.__setattr__(self, name, {})


class Queued(NamedTuple):
    """A task of a submit.

    `view` is its full JSON as published; None if the task was created by an earlier request with
    the same idempotency key.
    """

    task: Task
    view: TaskJson | None = None
