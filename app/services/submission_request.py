"""What a client asks to be run, in whatever form it came."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.limits.json_types import Json
from app.services.batches import Mode
from app.tasks.model import Task
from app.tasks.task_json import TaskJson
from app.tasks.webhook import Webhook
from app.workflows.secret_values import Secrets


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
    extra_data: Json = field(default_factory=dict, repr=False)  # ComfyUI's, without secrets
    secrets: Secrets = field(default_factory=dict, repr=False)  # what is secret in it
    warnings: tuple[str, ...] = ()  # of what it says that has no effect
    prompt_id: str | None = None  # of the task, if the client chose it
    randomize: bool = False  # draw seeds anew: those that a UI file marks so, all of an API file
    fill_texts: bool | None = None  # {a|b}, %date:...%; None: in what is set in a UI file
    embed_workflow: bool = True  # in the page's format, into the results

    def forget(self) -> None:
        """It is queued: let go of what is large, for whoever waits for the end."""
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
