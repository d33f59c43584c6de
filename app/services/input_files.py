"""Input files of every accepted form, each stored as an upload when the task is queued.

The task then depends on nothing outside the gateway, and a retry runs with the same files. The
value of a file input may be a file name; {"upload": name}; an http(s) URL; a data: URI; {"base64":
..., "filename": ...}; a part of a form; or a result of a task
(app/workflows/references/results.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from blake3 import blake3

from app.auth.model import Caller
from app.db.tasks import TaskTable
from app.errors import GatewayError, InvalidInput, InvalidParameter, PayloadTooLarge
from app.files.images.decoding import is_readable
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.signatures import SNIFFED_BYTES, Signature, fits, signature_of
from app.files.stores.store import once
from app.files.stores.streams import look_into
from app.limits.json_types import Json
from app.limits.quoting import quoted
from app.limits.worker_threads import Workers
from app.outbound.fetch import Fetched, fetching
from app.outbound.transport import Remote
from app.services.assets import AssetParts
from app.services.batches import MAX_VALUE_BYTES
from app.services.inline_data import from_base64, from_data_uri
from app.services.result_files import Results
from app.workflows.checks.file_names import FORMS, check_name
from app.workflows.references.results import OwnAddress, is_result, result_ref

Check = Callable[[], Awaitable[None]]

FETCHES = 8  # URLs fetched concurrently
FETCH_TIMEOUT = 60.0  # seconds allowed for fetching one URL
MAX_FILES = 100  # maximum number of files in one submit
# Formats that this build of Pillow may not decode; ComfyUI checks them.
_LEFT_TO_COMFYUI = (
    *("image/heic", "image/heif", "image/avif", "image/jxl", "image/x-exr"),
    "image/vnd.radiance",
)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file sent as part of a multipart request."""

    filename: str
    chunks: AsyncIterator[bytes]


async def always() -> None:
    """Do nothing: the check of a caller that cannot disconnect."""


def is_file_reference(value: Any) -> bool:
    """Return whether the value, given to a file input, would be more than a file name."""
    if isinstance(value, str):
        return _has_scheme(value) or is_result(value)
    return isinstance(value, FilePart) or (
        isinstance(value, dict) and (bool({"upload", "base64"} & value.keys()) or is_result(value))
    )


def may_be_file(value: Any) -> bool:
    """Return whether the value is a file reference, or a string too long to be anything but file
    content in an unknown form."""
    return is_file_reference(value) or (isinstance(value, str) and len(value) > MAX_VALUE_BYTES)


def _has_scheme(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(("http://", "https://", "data:"))


@dataclass(frozen=True, slots=True)
class InputParts:
    """The dependencies of `InputFiles` that do not depend on the caller.

    `workers` run slow work, `decoders` decode images; `fetches` bounds the URLs that are fetched
    concurrently.
    """

    tasks: TaskTable
    assets: AssetParts
    remote: Remote
    workers: Workers
    decoders: Workers
    fetches: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(FETCHES))


class InputFiles:
    """Stores files as uploads of `caller`, from URLs, data and results that the caller may see.

    `here`: where the client reaches the gateway, for URLs of its files.
    """

    def __init__(self, parts: InputParts, caller: Caller, here: OwnAddress) -> None:
        self._parts = parts
        self._uploads = parts.assets.uploads.of(caller.name)
        self._results = Results(parts.tasks, parts.assets, caller)
        self._here = here

    async def resolve(
        self, params: Json, batch: Mapping[str, list[Any]], kinds: Mapping[str, str], check: Check
    ) -> tuple[Json, dict[str, list[Any]]]:
        """Return the params and the batch with every file reference replaced by an upload's name.

        `kinds`: the kind of file that each file input takes. `check` is awaited before each file,
        and raises to abandon the rest; equal values are stored once. Raises InvalidParameter,
        UrlNotAllowed, UrlFailed, PayloadTooLarge and StorageFull, each naming the parameter, and
        PayloadTooLarge for more than MAX_FILES, before any file is read.
        """
        _check_number(params, batch, kinds)
        known: dict[tuple[str | None, str], Any] = {}

        async def resolved(word: str, value: Any) -> Any:
            if not is_file_reference(value):
                if word in kinds and isinstance(value, str):
                    check_name(word, value)
                return value
            same = (kinds.get(word), _identity(value))
            if same not in known:
                await check()
                known[same] = await self._settled(word, value, kinds)
            return known[same]

        return (
            {word: await resolved(word, value) for word, value in params.items()},
            {word: [await resolved(word, one) for one in values] for word, values in batch.items()},
        )

    async def _settled(self, word: str, value: Any, kinds: Mapping[str, str]) -> Any:
        if word in kinds:
            try:
                return await self._keep(value, kinds[word])
            except GatewayError as error:
                error.detail = f"Parameter {quoted(word)}: {error.detail}"
                error.extra["parameter"] = word
                raise
        if isinstance(value, FilePart):
            raise InvalidParameter(
                f"There is no parameter {quoted(word)} that takes a file.",
                hint="Name the part after a file input: by its key (12.image) or its name.",
                parameter=word,
            )
        return value

    async def _keep(self, value: Any, wanted: str) -> str:
        ref = result_ref(value)
        if ref is None:
            return await self._brought(value, wanted)
        if found := await self._results.find(ref, self._here):
            if found.chunks is None:
                return await self._known(found.filename, wanted)
            return await self._save(found.filename, found.chunks, wanted)
        if ref.is_name:
            return str(value)  # a file that a server may have, although the gateway does not
        return await self._brought(self._of_another(value), wanted)

    def _of_another(self, value: Any) -> str:
        """Return the URL of another gateway's file. Raises InvalidParameter if it has no host."""
        url = value["url"] if isinstance(value, dict) else value
        if _has_scheme(url):
            return str(url)
        below = f"below {self._here.base_path}" if self._here.base_path else "without a path"
        raise InvalidParameter(
            f"{quoted(url)} is no file of this gateway, which you reach {below}.",
            hint="If it is one of another gateway, write its whole URL, with http:// or https:// "
            "and the host.",
        )

    async def _brought(self, value: Any, wanted: str) -> str:
        match value:
            case FilePart():
                return await self._save(value.filename, value.chunks, wanted)
            case {"upload": str(name), **rest} if not rest:
                return await self._known(name, wanted)
            case {"base64": str(text), **rest} if not rest.keys() - {"filename"}:
                content = await self._parts.workers.run(from_base64, text)
                return await self._save_bytes(str(rest.get("filename") or ""), content, wanted)
            case str() if value[:5].lower() == "data:":
                content = await self._parts.workers.run(from_data_uri, value)
                return await self._save_bytes("", content, wanted)
            case str():
                async with self._parts.fetches, self._fetching(value) as got:
                    return await self._save(got.filename, got.chunks, wanted)
        raise InvalidParameter(f"This is no file. {FORMS}")

    def _fetching(self, url: str) -> AbstractAsyncContextManager[Fetched]:
        return fetching(self._parts.remote, url, seconds=FETCH_TIMEOUT)

    async def _known(self, name: str, wanted: str) -> str:
        if not await self._uploads.exists(name):
            raise InvalidParameter(
                f"There is no upload {quoted(name)}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        _check(wanted, await self._uploads.head(name))
        return name

    async def _save_bytes(self, filename: str, content: bytes, wanted: str) -> str:
        if not filename:  # named by its content, so that equal bytes become one upload
            found = signature_of(content[:SNIFFED_BYTES])
            filename = f"{blake3(content).hexdigest()[:16]}{found.suffix if found else ''}"
        return await self._save(filename, once(content), wanted)

    async def _save(self, filename: str, chunks: AsyncIterator[bytes], wanted: str) -> str:
        """Store a stream if its bytes are of the wanted kind, and return the upload's name."""
        head, whole = await look_into(chunks, SNIFFED_BYTES)
        signature = _check(wanted, head)
        name = _named(filename or "input", signature)
        upload = await self._uploads.save(name, whole)
        if signature is not None and signature.kind is Kind.IMAGE:
            async with self._uploads.on_disk(upload.name) as path:
                await self._parts.decoders.run(_check_image, path, signature.content_type)
        return upload.name


def _identity(value: Any) -> str:
    """Return a text that is equal for equal files only."""
    return value if isinstance(value, str) else repr(value)


def _check_number(params: Json, batch: Mapping[str, list[Any]], kinds: Mapping[str, str]) -> None:
    """Raise PayloadTooLarge for more than MAX_FILES files. Names of uploads do not count."""
    given = chain(params.items(), ((word, one) for word in batch for one in batch[word]))
    files = {_identity(value) for word, value in given if word in kinds and _brings_file(value)}
    if len(files) > MAX_FILES:
        raise PayloadTooLarge(
            f"params and batch bring {len(files)} different files; {MAX_FILES} are allowed.",
            hint="Upload the files with POST /api/image/upload, and send the names in its answers.",
        )


def _brings_file(value: Any) -> bool:
    return is_file_reference(value) and not (isinstance(value, dict) and "upload" in value)


def _check(wanted: str, head: bytes) -> Signature | None:
    """Return the signature of the bytes. Raise InvalidParameter if the input does not take it."""
    signature = signature_of(head)
    if not fits(wanted, signature):
        is_ = f"{signature.content_type}" if signature else "of no kind that is known"
        raise InvalidParameter(
            f"The input takes a file of the kind {wanted}; by its bytes this one is {is_}.",
            hint="A web page or an error in place of the file is the usual cause."
            if head.lstrip()[:1] in (b"<", b"{")
            else None,
        )
    return signature


def _check_image(path: Path, content_type: str) -> None:
    """Raise InvalidParameter for a damaged or oversized image. No pixel is decoded."""
    try:
        readable = is_readable(path)
    except InvalidInput as error:
        raise InvalidParameter(error.detail, hint=error.hint) from error
    if not readable and content_type not in _LEFT_TO_COMFYUI:
        raise InvalidParameter("The image is damaged: it cannot be read.")


def _named(filename: str, signature: Signature | None) -> str:
    """Return the name with a suffix that fits the bytes: ComfyUI's loaders go by the suffix."""
    if signature is None or kind_of(filename, content_type_of(filename)) is signature.kind:
        return filename
    return f"{filename}{signature.suffix}"
