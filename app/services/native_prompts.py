"""POST /prompt of ComfyUI's own protocol: queues a task for it."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from app.auth.model import Caller
from app.comfyui.problems import Problem
from app.db.idempotency import IdempotencyKey
from app.db.native_tasks import NativeTasks
from app.db.tasks import TaskRepository
from app.errors import InvalidInput, KeyReused
from app.files.staged_names import folder_named
from app.limits.json_types import Json
from app.services.native_validation import Judged, file_names, judge
from app.services.submission_request import Submission
from app.services.submissions import SubmissionParts, SubmissionService
from app.tasks.model import Task
from app.tasks.native import NativePrompt, NativeRequest, lane_of, origin_of
from app.workflows.references.results import ANYWHERE, OwnAddress, is_result
from app.workflows.secret_values import Secrets

# Points of priority of a prompt for the front, as `number` < 0 means it, too: ahead of what came in
# the last eight hours.
FRONT = 100
MOST_COUNTED = 2.0**53  # from there on the next number is the same one
_ID_IN_USE = "prompt_id: it is in use, by another prompt."


@dataclass(frozen=True, slots=True)
class PostedPrompt:
    """The body of a POST /prompt, whose fields have the right types, and where it came from.

    `number`: None if the client gave none. `targets`: partial_execution_targets. `size`: bytes.
    """

    prompt: Json = field(repr=False)
    prompt_id: str | None = None
    number: float | None = None
    front: bool = False
    client_id: str | None = None
    extra_data: Json = field(default_factory=dict, repr=False)  # without secrets
    secrets: Secrets = field(default_factory=dict, repr=False)
    targets: Any = None
    address: str = ""
    user_agent: str = ""
    size: int | None = None

    @property
    def digest(self) -> str:
        """A digest of what is to be run."""
        what = (self.prompt, self.targets, self.number, self.front, self.client_id)
        more = (self.extra_data, self.secrets)
        text = json.dumps([*what, *more], sort_keys=True, separators=(",", ":"))
        return f"blake3:{blake3(text.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is answered. `error`: why it is not accepted, in ComfyUI's form; `task` is None then."""

    task: Task | None = None
    error: Problem | None = None
    node_errors: Json = field(default_factory=dict)


class NativePrompts:
    """Queues prompts of `caller`."""

    def __init__(self, parts: SubmissionParts, caller: Caller) -> None:
        self._parts = parts
        self._caller = caller
        self._store = TaskRepository(parts.tasks, caller)
        self._mine = NativeTasks(parts.tasks.database, caller.name)
        self._submissions = SubmissionService(parts, caller)

    async def post(self, posted: PostedPrompt, here: OwnAddress = ANYWHERE) -> Accepted:
        """Queue a task, or return why ComfyUI would refuse the prompt.

        The same id and body once more is the same task. Raises what SubmissionService.submit does.
        """
        key = self._key_of(posted)
        try:
            if (before := await self._before(key)) is not None:
                return before
            judged = await self._judge(posted)
            if judged.error is not None:
                return Accepted(None, judged.error, judged.node_errors)
            submission = await self._submission(posted, judged)
            queued = await self._submissions.submit(submission, key=key, here=here)
        except KeyReused as error:
            raise InvalidInput(_ID_IN_USE, field="prompt_id") from error
        except InvalidInput as error:
            if error.extra.get("field") != "prompt_id":
                raise
            # The same prompt may have come twice at once, and is on a server already.
            if (before := await self._before(key)) is None:
                raise
            return before
        return Accepted(queued[0].task, None, judged.node_errors)

    def _key_of(self, posted: PostedPrompt) -> IdempotencyKey | None:
        if posted.prompt_id is None:
            return None
        return IdempotencyKey(f"prompt:{posted.prompt_id}", posted.digest)

    async def _before(self, key: IdempotencyKey | None) -> Accepted | None:
        """Return what was answered to the same prompt."""
        if key is None or not (found := await self._store.answered(key)):
            return None
        (whole, *_) = await self._mine.whole([found[0].task_id])
        return Accepted(found[0], None, whole.asked.node_errors)

    async def _judge(self, posted: PostedPrompt) -> Judged:
        """Validate with the known node types, and once more if these have changed."""
        pool = self._parts.pool
        missing = await self._missing(posted.prompt)
        judged = await self._judged(posted, pool.node_types(), missing)
        if judged.error is None or not await pool.refresh():
            return judged
        return await self._judged(posted, pool.node_types(), missing)

    async def _judged(
        self, posted: PostedPrompt, node_types: Mapping[str, Json], missing: Collection[str]
    ) -> Judged:
        small = Submission(workflow=posted.prompt, size=posted.size).is_small
        return await self._parts.workers.unless(
            small, judge, posted.prompt, node_types, posted.targets, missing
        )

    async def _missing(self, prompt: Json) -> set[str]:
        """Return the names of input files in the prompt that nobody has, neither as an upload nor
        on a server.

        Results of tasks are looked at later. No other URL is fetched: the protocol has none.
        """
        uploads = self._parts.input_files.assets.uploads.of(self._caller.name)
        found = set[str]()
        for text in file_names(prompt):
            name = text.removesuffix(" [input]")
            if folder_named(name) is None and not is_result(name):
                found |= set() if await uploads.exists(name) else {text}
        return found

    async def _submission(self, posted: PostedPrompt, judged: Judged) -> Submission:
        kept = {
            node_id: node
            for node_id, node in judged.prompt.items()
            if node_id not in judged.left_out
        }
        number, client_id = await self._number(posted), posted.client_id
        name, address = self._caller.name, posted.address
        is_first = posted.front or number < 0
        targets = None if posted.targets is None else judged.outputs
        return Submission(
            workflow=kept,
            prompt_id=posted.prompt_id,
            priority=FRONT if is_first else 0,
            extra_data=posted.extra_data,
            secrets=posted.secrets,
            native=NativePrompt(
                number,
                client_id,
                origin_of(address, posted.user_agent),
                lane_of(name, address, client_id) if client_id is not None else None,
            ),
            native_request=NativeRequest(
                judged.outputs, targets, judged.left_out, judged.node_errors
            ),
            size=posted.size,
        )

    async def _number(self, posted: PostedPrompt) -> float:
        """Return its place among the caller's own, negative for the front, as in ComfyUI: a counter
        of all would tell how many others there are."""
        if posted.number is not None:
            return posted.number
        last = abs(await self._mine.last_number() or 0.0)
        number = math.floor(last) + 1 if last < MOST_COUNTED else 1
        return float(-number if posted.front else number)
