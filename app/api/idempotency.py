"""The Idempotency-Key of requests, with a digest of the request in any format."""

from typing import Annotated, Any

from blake3 import blake3
from fastapi import Header, Request
from starlette.datastructures import FormData

from app.api.bodies import CHUNK, read_body
from app.api.forms import is_form, parsed_form
from app.db.idempotency import IdempotencyKey
from app.limits import text_lengths

ABOUT_THE_ANSWER = ("wait", "inline")  # query parameters that do not affect what is queued


KeyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=text_lengths.IDEMPOTENCY_KEY,
        description="The same key with the same body makes one task, for 24 hours.",
    ),
]


async def key_of(request: Request, text: str | None) -> IdempotencyKey | None:
    """Return the key with a digest of the request; None without the header."""
    if text is None:
        return None
    items = request.query_params.multi_items()
    query = sorted(item for item in items if item[0] not in ABOUT_THE_ANSWER)
    digest = blake3(f"{request.url.path}?{query}\n".encode())
    if is_form(request):
        await _add_parts(digest, await parsed_form(request))
    else:
        digest.update(await read_body(request))
    return IdempotencyKey(text, f"blake3:{digest.hexdigest()}")


async def _add_parts(digest: Any, form: FormData) -> None:
    """Add names, file names and contents of the parts, but not the boundary, which is random."""
    for name, value in form.multi_items():
        if isinstance(value, str):
            digest.update(repr((name, value)).encode())
            continue
        part = blake3()
        while piece := await value.read(CHUNK):
            part.update(piece)
        await value.seek(0)
        digest.update(repr((name, value.filename, part.hexdigest())).encode())
