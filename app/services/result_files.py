"""Results, assets and uploads as input files of other tasks, by reference."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from app.auth.model import Caller
from app.db.tasks import TaskRepository, TaskTable
from app.errors import FileNotFound, GatewayError, InvalidParameter
from app.files.stores.store import FileStore
from app.files.uploads import folder_for
from app.limits.quoting import quoted, quoted_list
from app.services.assets import AssetParts, AssetService
from app.tasks.model import EXPIRED_OUTPUT, Output, Status, Task
from app.workflows.references.results import OwnAddress, ResultRef, spellings


@dataclass(frozen=True, slots=True)
class Found:
    """An existing file: an upload of the caller by its name, or the bytes of another file."""

    filename: str
    chunks: AsyncIterator[bytes] | None = None  # None for an upload


class Results:
    """The files that `caller` may see; others do not exist for it."""

    def __init__(self, table: TaskTable, assets: AssetParts, caller: Caller) -> None:
        self._store = TaskRepository(table, caller)
        self._files: FileStore = assets.files
        self._uploads = assets.uploads.of(caller.name)
        self._assets = AssetService(assets, caller)

    async def find(self, ref: ResultRef, here: OwnAddress) -> Found | None:
        """Return the file for a reference. Raises InvalidParameter.

        Returns None for an unknown file name, and for a URL that leads elsewhere than `here`,
        unless it has an id of ours: the gateway may be reached under several names and paths.
        """
        elsewhere = not here.has(ref)
        if elsewhere and not ref.is_by_id:
            return None  # another gateway may have a file of that name
        try:
            if ref.asset_id is not None:
                return await self._asset(ref.asset_id)
            if ref.type == "input":
                return await self._upload(ref)
            return await self._result(ref)
        except InvalidParameter:
            raise
        except GatewayError as error:
            if ref.is_name and ref.task_id is None:
                return await self._uploaded_as(ref)
            if elsewhere:
                return None
            raise InvalidParameter(error.detail, hint=error.hint) from error

    async def _upload(self, ref: ResultRef) -> Found:
        name = f"{ref.subfolder}/{ref.filename}" if ref.subfolder else ref.filename
        return Found((await self._uploads.get(name)).name)

    async def _uploaded_as(self, ref: ResultRef) -> Found | None:
        """Return what was uploaded as ComfyUI's output or temporary file, for `name [temp]`."""
        folder = folder_for(ref.type or "input", ref.subfolder or "")
        name = f"{folder}/{ref.filename}" if folder else ref.filename
        return Found(name) if await self._uploads.exists(name) else None

    async def _asset(self, asset_id: str) -> Found:
        asset = await self._assets.get(asset_id)
        files, key = await self._assets.content(asset)
        return Found(asset.filename, files.read(key))

    async def _result(self, ref: ResultRef) -> Found:
        found = await self._output(ref)
        if found is None and ref.task_id is not None:
            raise _missing(ref, await self._store.get(ref.task_id))
        if found is None or not await self._files.exists(found.key or ""):
            raise FileNotFound(
                f"There is no result {quoted(ref.filename)}.",
                hint='Name the task, too: {"task_id": ..., "filename": ...}.',
            )
        return Found(ref.filename, self._files.read(found.key or ""))

    async def _output(self, ref: ResultRef) -> Output | None:
        for subfolder in spellings(ref.subfolder):
            about = {"task_id": ref.task_id, "subfolder": subfolder, "type": ref.type}
            found = await self._store.find_output(
                ref.filename, own=ref.task_id is None, node_id=ref.node_id, **about
            )
            if found is not None:
                return found
        return None


def _missing(ref: ResultRef, task: Task) -> InvalidParameter:
    """Return the error for a task that has no such result."""
    named = f"Task {task.task_id} has no result {quoted(ref.filename)}"
    gone = [one for one in task.outputs if one.filename == ref.filename and one.key is None]
    if task.status is Status.EXPIRED or any(one.error == EXPIRED_OUTPUT for one in gone):
        return InvalidParameter(
            f"{named} any more: it was removed after its time.",
            hint=f"Run it again: POST /api/task/{task.task_id}/retry.",
        )
    if not task.finished:
        return InvalidParameter(
            f"{named} yet: it is {task.status}.",
            hint="Wait for its end: submit with ?wait=SECONDS, or follow its events.",
        )
    names = [one.filename for one in task.outputs if one.filename and one.key]
    return InvalidParameter(f"{named}.", hint=f"It has {quoted_list(names)}." if names else None)
