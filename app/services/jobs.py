"""The operations of Comfy API v2 on jobs. A job is a task."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from app.db.idempotency import IdempotencyKey
from app.db.task_filters import Selection
from app.services.assets import AssetService
from app.services.submission_request import Submission
from app.services.submissions import SubmissionService
from app.services.tasks import TaskService
from app.tasks.model import Status, Task
from app.workflows.references.results import OwnAddress


class Jobs:
    def __init__(
        self, tasks: TaskService, submissions: SubmissionService, assets: AssetService
    ) -> None:
        self._tasks = tasks
        self._submissions = submissions
        self._assets = assets

    async def submit(
        self, submission: Submission, key: IdempotencyKey | None, here: OwnAddress
    ) -> Task:
        """Queue a task, with its references to assets resolved.

        `here`: where the client reaches the gateway, for URLs of its files.

        Raises MissingAsset, and whatever SubmissionService.submit raises.
        """
        workflow = await self._assets.resolved(submission.workflow, small=submission.is_small)
        submission = replace(submission, workflow=workflow)
        added = await self._submissions.submit(submission, key=key, here=here)
        return added[0].task

    async def page(
        self,
        statuses: Collection[Status],
        labels: Mapping[str, str],
        limit: int,
        before: int | None,
    ) -> tuple[list[Task], int | None]:
        """Return a page of tasks that have all the labels, newest first, and the next cursor."""
        found: list[Task] = []
        while True:
            page, following = await self._tasks.page(
                Selection(statuses=statuses, labels=labels), limit - len(found), before
            )
            found += [task for task in page if has_labels(task, labels)]
            if following is None or len(found) >= limit:
                return found, following
            before = following


def has_labels(task: Task, labels: Mapping[str, str]) -> bool:
    if not isinstance(task.metadata, dict):
        return not labels
    return all(task.metadata.get(name) == value for name, value in labels.items())
