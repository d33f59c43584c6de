"""Input files in whatever form they come: each becomes an upload of ours when the task is queued.

So the task needs nothing from outside, and a retry has what the first run had. A value for an
input that names a file may be: a file name, as ever; {"upload": name}; an http(s) URL; a data: URI;
{"base64": ..., "filename": ...}; or a part of a form.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from blake3 import blake3

from app.errors import GatewayError, InvalidInput, InvalidParameter, PayloadTooLarge
from app.files.decoding import is_readable
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.magic import HEAD
from app.files.signatures import Signature, fits, signature_of
from app.files.store import once
from app.files.streams import look_into
from app.files.uploads import Uploads
from app.quoting import quoted
from app.remote.fetch import Fetched, fetching
from app.remote.transport import Remote
from app.tasks.batches import MAX_VALUE_BYTES
from app.workers import Workers
from app.workflows.file_names import FORMS, check_name

Json = dict[str, Any]
Check = Callable[[], Awaitable[None]]

PIECE = 256 << 10  # characters of a data: URI that are read at a time
_SPACES = b" \t\n\r\x0b\x0c"
FETCHES = 8  # URLs that are fetched at a time
MAX_FILES = 100  # that one submit may bring, as a form
# Pillow here may not read them.
_LEFT_TO_COMFYUI = (
    *("image/heic", "image/heif", "image/avif", "image/jxl", "image/x-exr"),
    "image/vnd.radiance",
)


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file that came with the request itself."""

    filename: str
    chunks: AsyncIterator[bytes]


async def always() -> None:
    """A check for those whom nobody leaves."""


def is_material(value: Any) -> bool:
    """Whether a value would be more than a name, if its input names a file."""
    if isinstance(value, str):
        return value[:8].lower().startswith(("http://", "https://", "data:"))
    return isinstance(value, FilePart) or (
        isinstance(value, dict) and bool({"upload", "base64"} & value.keys())
    )


def may_be_file(value: Any) -> bool:
    """A material, or so long that it should be one: a file whose form is none of these."""
    return is_material(value) or (isinstance(value, str) and len(value) > MAX_VALUE_BYTES)


class Materials:
    """`workers` and `decoders` run what takes long, the latter what decodes pictures."""

    def __init__(
        self,
        uploads: Uploads,
        remote: Remote,
        *,
        fetch_seconds: float,
        workers: Workers,
        decoders: Workers,
    ) -> None:
        self._workers = workers
        self._decoders = decoders
        self._uploads = uploads
        self._remote = remote
        self._fetch_seconds = fetch_seconds
        self._fetches = asyncio.Semaphore(FETCHES)

    def of(self, key_name: str | None) -> "Materials":
        """The same for the uploads of an API key."""
        found = copy(self)
        found._uploads = self._uploads.of(key_name)
        return found

    async def may_name(self, text: str) -> bool:
        """Whether the uploads that a text names as servers do are the client's."""
        return await self._uploads.may_name(text)

    async def settle(
        self, params: Json, batch: Mapping[str, list[Any]], kinds: Mapping[str, str], check: Check
    ) -> tuple[Json, dict[str, list[Any]]]:
        """The params and the batch with a name of an upload in place of every material.

        `kinds`: what file inputs among them take. `check` is awaited before each file, and raises
        to leave the rest; equal values are one file. Raises InvalidParameter, UrlNotAllowed,
        UrlFailed, PayloadTooLarge and StorageFull, each with the parameter's word, and
        PayloadTooLarge for more than MAX_FILES, before any is looked at.
        """
        _check_number(params, batch, kinds)
        known: dict[tuple[str | None, str], Any] = {}

        async def settled(word: str, value: Any) -> Any:
            if not is_material(value):
                if word in kinds and isinstance(value, str):
                    check_name(word, value)
                return value
            same = (kinds.get(word), _identity(value))
            if same not in known:
                await check()
                known[same] = await self._settled(word, value, kinds)
            return known[same]

        return (
            {word: await settled(word, value) for word, value in params.items()},
            {word: [await settled(word, one) for one in values] for word, values in batch.items()},
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
        match value:
            case FilePart():
                return await self._save(value.filename, value.chunks, wanted)
            case {"upload": str(name), **rest} if not rest:
                return await self._known(name, wanted)
            case {"base64": str(text), **rest} if not rest.keys() - {"filename"}:
                content = await self._workers.run(_from_base64, text)
                return await self._save_bytes(str(rest.get("filename") or ""), content, wanted)
            case str() if value[:5].lower() == "data:":
                content = await self._workers.run(_from_data_uri, value)
                return await self._save_bytes("", content, wanted)
            case str():
                async with self._fetches, self._fetching(value) as found:
                    return await self._save(found.filename, found.chunks, wanted)
        raise InvalidParameter(f"This is no file. {FORMS}")

    def _fetching(self, url: str) -> AbstractAsyncContextManager[Fetched]:
        return fetching(self._remote, url, seconds=self._fetch_seconds)

    async def _known(self, name: str, wanted: str) -> str:
        if not await self._uploads.exists(name):
            raise InvalidParameter(
                f"There is no upload {quoted(name)}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        _check(wanted, await self._uploads.head(name))
        return name

    async def _save_bytes(self, filename: str, content: bytes, wanted: str) -> str:
        if not filename:  # named by its content, so that the same bytes are the same upload
            found = signature_of(content[:HEAD])
            filename = f"{blake3(content).hexdigest()[:16]}{found.suffix if found else ''}"
        return await self._save(filename, once(content), wanted)

    async def _save(self, filename: str, chunks: AsyncIterator[bytes], wanted: str) -> str:
        """Keep a stream if its bytes are what the input takes; answers the upload's name."""
        head, whole = await look_into(chunks, HEAD)
        signature = _check(wanted, head)
        name = _named(filename or "input", signature)
        upload = await self._uploads.save(name, whole)
        if signature is not None and signature.kind is Kind.IMAGE:
            async with self._uploads.on_disk(upload.name) as path:
                await self._decoders.run(_check_image, path, signature.content_type)
        return upload.name


def _identity(value: Any) -> str:
    """The same for materials that are equal, and for no others."""
    return value if isinstance(value, str) else repr(value)


def _check_number(params: Json, batch: Mapping[str, list[Any]], kinds: Mapping[str, str]) -> None:
    """Raises PayloadTooLarge for more than MAX_FILES materials. Names of uploads do not count."""
    given = chain(params.items(), ((word, one) for word in batch for one in batch[word]))
    files = {_identity(value) for word, value in given if word in kinds and _brings_file(value)}
    if len(files) > MAX_FILES:
        raise PayloadTooLarge(
            f"params and batch bring {len(files)} different files; {MAX_FILES} are allowed.",
            hint="Upload the files with POST /api/image/upload, and send the names in its answers.",
        )


def _brings_file(value: Any) -> bool:
    return is_material(value) and not (isinstance(value, dict) and "base64" not in value)


def _check(wanted: str, head: bytes) -> Signature | None:
    """What the bytes are. Raises InvalidParameter if the input does not take that."""
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
    """Raises InvalidParameter for a damaged or a huge image. No pixel is decoded."""
    try:
        readable = is_readable(path)
    except InvalidInput as error:
        raise InvalidParameter(error.detail, hint=error.hint) from error
    if not readable and content_type not in _LEFT_TO_COMFYUI:
        raise InvalidParameter("The image is damaged: it cannot be read.")


def _named(filename: str, signature: Signature | None) -> str:
    """The name, with a suffix that fits the bytes: loaders go by it."""
    if signature is None or kind_of(filename, content_type_of(filename)) is signature.kind:
        return filename
    return f"{filename}{signature.suffix}"


def _from_base64(text: str) -> bytes:
    return _from_data_uri(text) if text[:5].lower() == "data:" else _decoded(text)


def _decoded(text: str | bytes) -> bytes:
    try:
        packed = text.encode() if isinstance(text, str) else text
        return base64.b64decode(packed.translate(None, _SPACES), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter("This is not base64 (the standard alphabet, padded).") from error


def _from_data_uri(text: str) -> bytes:
    """The bytes of data:[type][;base64],DATA (RFC 2397)."""
    about, comma, data = text.partition(",")
    if not comma:
        raise InvalidParameter("This data: URI has no comma, so it has no data.")
    try:
        content = _unquoted(data)
    except UnicodeEncodeError as error:
        raise InvalidParameter("This data: URI holds half a character.") from error
    if about.lower().endswith(";base64"):
        return _decoded(content)
    return content


def _unquoted(text: str) -> bytes:
    """The bytes of a percent-encoded text, a piece at a time: unquote_to_bytes makes many objects
    of each escape, and a piece may be nothing else."""
    pieces, at = [], 0
    while at < len(text):
        end = at + PIECE
        escape = text.rfind("%", max(end - 2, 0), end)  # none is cut in two
        end = escape if escape > at else end
        pieces.append(unquote_to_bytes(text[at:end]))
        at = end
    return b"".join(pieces)
