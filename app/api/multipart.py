"""Parsing of multipart forms with limited memory, outside of the event loop for large chunks."""

import codecs
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from fastapi import HTTPException, Request
from fastapi.routing import APIRoute
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from app.api.body_memory import hold
from app.errors import GatewayError, InvalidInput, PayloadTooLarge
from app.gateway import Gateway
from app.limits.quoting import SHORT, cut
from app.limits.worker_threads import Workers

MAX_PARTS = 100  # files, and as many other parts
SPOOL = 16 * 1024  # bytes of a file that are kept in memory; larger files are spooled to disk
FREE = 64 * 1024  # bytes in memory that need no reservation
PARSED_HERE = 8 * 1024  # bytes of a chunk that is parsed in the event loop
# Encodings of host names, not of text; their time is quadratic in the length.
_OF_HOSTS = ("idna", "punycode")


class FormRequest(Request):
    """A request whose form is always parsed by BoundedMultiPartParser."""

    async def _get_form(self, **_: Any) -> FormData:
        if self._form is None:
            kind, _options = parse_options_header(self.headers.get("Content-Type"))
            form = await self._parts() if kind == b"multipart/form-data" else FormData()
            try:
                _check(form, _fields_of(self.scope.get("route")))
            # FastAPI would report other exceptions as an invalid form
            except InvalidInput as error:
                await form.close()
                raise HTTPException(error.status, error.detail) from error
            self._form = form
        return self._form

    async def _parts(self) -> FormData:
        gateway: Gateway = self.state.gateway
        limit = gateway.settings.max_body_bytes
        try:
            async with aclosing(self.stream()) as stream:
                return await BoundedMultiPartParser(
                    self.headers,
                    stream,
                    max_bytes=limit,
                    workers=gateway.workers,
                    hold=lambda: hold(self, limit),
                ).parse()
        except MultiPartException as error:
            raise HTTPException(400, error.message) from error
        except GatewayError as error:  # see _get_form
            raise HTTPException(error.status, error.detail) from error


def _fields_of(route: Any) -> dict[str, bool]:
    """Return the form fields that a route declares, and whether each may be repeated.

    Empty for a route that parses the form itself.
    """
    named = route.dependant.body_params if isinstance(route, APIRoute) else ()
    return {field.alias: "list" in str(field.field_info.annotation) for field in named}


def _check(form: FormData, fields: Mapping[str, bool]) -> None:
    """Raise InvalidInput for an unknown or repeated part, and for an empty file."""
    seen: set[str] = set()
    for name, value in form.multi_items():
        if fields and name not in fields:
            raise InvalidInput(
                f"{cut(name, SHORT)}: there is no such field.",
                hint=f"The form has the fields {', '.join(fields)}.",
                field=cut(name, SHORT),
            )
        if name in seen and not fields.get(name):
            raise InvalidInput(
                f"{cut(name, SHORT)}: it is there more than once.", field=cut(name, SHORT)
            )
        seen.add(name)
        if isinstance(value, UploadFile) and not value.size:
            what = "the file is empty" if value.filename else "there is no file in it"
            raise InvalidInput(f"{cut(name, SHORT)}: {what}.", field=cut(name, SHORT))


class BoundedMultiPartParser(MultiPartParser):
    """Starlette's parser with a common limit for all parts that are no files, `max_bytes`.

    Large chunks are parsed in `workers`. `hold` is awaited once before more than FREE bytes are in
    memory.
    """

    spool_max_size = SPOOL

    def __init__(
        self,
        headers: Headers,
        stream: AsyncGenerator[bytes, None],
        *,
        max_bytes: int,
        workers: Workers,
        hold: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(
            headers, stream, max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=max_bytes
        )
        self._workers = workers
        self._hold = hold
        self._in_fields = 0  # bytes

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is None:
            self._in_fields += end - start
            if self._in_fields > self.max_part_size:
                raise PayloadTooLarge(
                    f"The parts that are no files are larger than the {self.max_part_size} bytes "
                    "that are allowed.",
                    hint="The limit is the setting COMFYUI_MAX_BODY_BYTES.",
                )
        super().on_part_data(data, start, end)

    async def parse(self) -> FormData:
        """Parse the form. Raises MultiPartException, PayloadTooLarge and TooManyBodies."""
        held = False
        try:
            parser = self._parser()
            async for chunk in self.stream:
                if len(chunk) <= PARSED_HERE:
                    self._take(parser, chunk)
                else:
                    await self._workers.run(self._take, parser, chunk)
                if not held and self._in_fields + self._current_files * SPOOL > FREE:
                    held = True
                    await self._hold()
            parser.finalize()
        except BaseException as error:
            for file in self._files_to_close_on_error:
                file.close()
            if isinstance(error, FormParserError | UnicodeError):
                raise MultiPartException("Invalid multipart data.") from error
            raise
        return FormData(self.items)

    def _parser(self) -> MultipartParser:
        _, options = parse_options_header(self.headers["Content-Type"])
        if b"boundary" not in options:
            raise MultiPartException("Missing boundary in multipart.")
        self._charset = _charset(options.get(b"charset", b"utf-8").decode("latin-1"))
        return MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self.on_part_begin,
                "on_part_data": self.on_part_data,
                "on_part_end": self.on_part_end,
                "on_header_field": self.on_header_field,
                "on_header_value": self.on_header_value,
                "on_header_end": self.on_header_end,
                "on_headers_finished": self.on_headers_finished,
                "on_end": self.on_end,
            },
        )

    def _take(self, parser: MultipartParser, chunk: bytes) -> None:
        """Parse a chunk of the body and write it to its parts."""
        parser.write(chunk)
        for part, data in self._file_parts_to_write:
            if part.file is not None:
                part.file.file.write(data)
                part.file.size = (part.file.size or 0) + len(data)
        for part in self._file_parts_to_finish:
            if part.file is not None:
                part.file.file.seek(0)
        self._file_parts_to_write.clear()
        self._file_parts_to_finish.clear()


def _charset(wanted: str) -> str:
    """Return Python's name of the charset; that of Latin-1 for an unknown one."""
    try:
        name = codecs.lookup(wanted).name
    except (LookupError, ValueError):  # ValueError for a NUL
        return "latin-1"
    return "latin-1" if name in _OF_HOSTS else name
