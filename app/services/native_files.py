"""Files as ComfyUI's own protocol names them: `filename`, `subfolder` and `type`.

Clients are told files with the id of the task as first part of `subfolder`
(app/tasks/native_names.py). All files are of the caller; a server's own folders are never looked
into, but for what a task of the caller says that it has saved there.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.auth.model import Caller
from app.comfyui.results import FileResult, results_of
from app.db.tasks import TaskRepository, TaskTable
from app.errors import ComfyError, FileNotFound, Forbidden, InvalidRequest, TaskNotFound
from app.files.images.views import INPUTS
from app.files.staged_names import is_staged
from app.files.stores.store import FileStore
from app.files.uploads import Uploads, folder_for
from app.limits.quoting import quoted
from app.servers.pool import Pool
from app.servers.server import Server
from app.services.assets import AssetParts
from app.workflows.references.ids import as_stored, is_id
from app.workflows.references.results import spellings

TYPES = ("output", "input", "temp")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file as a client names it. `subfolder` has neither `..` nor an empty part."""

    filename: str
    subfolder: str
    type: str

    @property
    def task_id(self) -> str | None:
        """The task that the first part of the subfolder names, if it does."""
        first = self.subfolder.partition("/")[0]
        return as_stored(first) if is_id(first) else None

    @property
    def below_task(self) -> str:
        return self.subfolder.partition("/")[2]

    @property
    def path(self) -> str:
        return f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a store. `below`: where the views of that store's files are."""

    files: FileStore
    key: str
    content_type: str
    below: str = ""


@dataclass(frozen=True, slots=True)
class FileOnServer:
    """A result of a task that is still to be collected."""

    server: Server
    result: FileResult


def candidates(named: Mapping[str, object]) -> list[Wanted]:
    """Return the files that `filename`, `subfolder` and `type` may mean, the likeliest first.

    `filename` may be `name [input]`. ComfyUI cuts off folders in it; here they count first, as
    clients send back one path in which they were told both. Raises InvalidRequest for a name or a
    type that is none, Forbidden for a subfolder that leads out, FileNotFound without a name.
    """
    if "filename" not in named:
        raise FileNotFound("filename: which file is wanted?")
    name, type_ = _annotated(str(named["filename"]), str(named.get("type", "output")))
    name = name.replace("\\", "/")
    if not name or name.startswith("/") or ".." in name or type_ not in TYPES:
        raise InvalidRequest(f"{quoted(name)} of type {quoted(type_)} cannot be a file.")
    subfolder = inner(str(named.get("subfolder") or ""))
    if subfolder is None:
        raise Forbidden("subfolder: it leads out of the folder.")
    folders, _, last = name.rpartition("/")
    wanted = Wanted(last, subfolder, type_)
    inside = inner(f"{subfolder}/{folders}" if subfolder else folders)
    return [replace(wanted, subfolder=inside), wanted] if folders and inside else [wanted]


def inner(subfolder: str) -> str | None:
    """Return a subfolder without `.`, `..` and empty parts; None for one that leads out."""
    plain = subfolder.replace("\\", "/")
    if plain.startswith("/") or plain[1:2] == ":":
        return None
    found = posixpath.normpath(plain) if plain else ""
    return None if found.split("/")[0] == ".." else "" if found == "." else found


def _annotated(name: str, type_: str) -> tuple[str, str]:
    for word in TYPES:
        if name.endswith(f"[{word}]"):
            return name.removesuffix(f"[{word}]").rstrip(), word
    return name, type_


class NativeFiles:
    """The files of `caller`: results of tasks that its key created, and its uploads."""

    def __init__(self, table: TaskTable, assets: AssetParts, pool: Pool, caller: Caller) -> None:
        self._tasks = TaskRepository(table, caller)
        self._files = assets.files
        self._uploads: Uploads = assets.uploads.of(caller.name)
        self._pool = pool
        self._caller = caller

    async def find(self, wanted: Iterable[Wanted]) -> StoredFile | FileOnServer:
        """Return the first of these files that is there. Raises FileNotFound."""
        for one in wanted:
            found = await self._find(one)
            if found is not None:
                return found
        raise FileNotFound("There is no such file.", hint="Name it as history or events do.")

    async def _find(self, wanted: Wanted) -> StoredFile | FileOnServer | None:
        if wanted.task_id is not None:
            found = await self._result(wanted, wanted.task_id, wanted.below_task)
            found_there = found or await self._not_collected(wanted, wanted.task_id)
            if found_there is not None:
                return found_there
        elif wanted.type != "input":
            # Clients that build addresses themselves leave the subfolder out.
            found = await self._result(wanted, None, wanted.subfolder or None)
            if found is not None:
                return found
        return await self._upload(wanted)

    async def _result(
        self, wanted: Wanted, task_id: str | None, subfolder: str | None
    ) -> StoredFile | None:
        for spelling in spellings(subfolder):
            output = await self._tasks.find_output(
                wanted.filename, own=True, task_id=task_id, subfolder=spelling, type=wanted.type
            )
            if output is not None and output.key is not None:
                content_type = output.content_type or "application/octet-stream"
                return StoredFile(self._files, output.key, content_type)
        return None

    async def _upload(self, wanted: Wanted) -> StoredFile | None:
        folder = folder_for(wanted.type, wanted.subfolder)
        name = f"{folder}/{wanted.filename}" if folder else wanted.filename
        try:
            upload = await self._uploads.get(name)
        except FileNotFound:
            return None
        return StoredFile(self._uploads.store, upload.key, upload.content_type, INPUTS)

    async def _not_collected(self, wanted: Wanted, task_id: str) -> FileOnServer | None:
        """Return a file that the server's history of an unfinished task names."""
        try:
            task = await self._tasks.get(task_id)
        except TaskNotFound:
            return None
        is_own = task.owner == self._caller.name
        if task.finished or not is_own or task.server is None or task.server not in self._pool:
            return None
        server = self._pool.get(task.server)
        try:
            entry = await server.client.history_entry(task_id)
        except ComfyError:
            return None
        outputs = entry.outputs.items() if entry is not None else ()
        for result in (one for node_id, told in outputs for one in results_of(node_id, told)):
            if (
                isinstance(result, FileResult)
                and _is_same(result, wanted)
                and not is_staged(result.filename)
            ):
                return FileOnServer(server, result)
        return None


def _is_same(result: FileResult, wanted: Wanted) -> bool:
    is_named = (result.filename, result.type) == (wanted.filename, wanted.type)
    return is_named and inner(result.subfolder) == wanted.below_task
