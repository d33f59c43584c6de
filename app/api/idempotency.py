"""Idempotency keys of requests: what stands for a request, whatever its form."""

from typing import Annotated, Any

from blake3 import blake3
from fastapi import Depends, Header, Request
from starlette.datastructures import FormData

from app.api.bodies import CHUNK, read_body
from app.api.forms import is_form, parsed_form
from app.db.idempotency import IdempotencyKey
from app.limits import text_lengths

ABOUT_THE_ANSWER = ("wait", "inline")  # parts of the query that change nothing that is queued


async def idempotency_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=text_lengths.IDEMPOTENCY_KEY,
            description="The same key with the same body makes one task, for 24 hours.",
        ),
    ] = None,
) -> IdempotencyKey | None:
    """What stands for this request, if the client wants it to be done once only."""
    if idempotency_key is None:
        return None
    items = request.query_params.multi_items()
    query = sorted(item for item in items if item[0] not in ABOUT_THE_ANSWER)
    digest = blake3(f"{request.url.path}?{query}\n".encode())
    if is_form(request):
        await _add_parts(digest, await parsed_form(request))
    else:
        digest.update(await read_body(request))
    return IdempotencyKey(idempotency_key, f"blake3:{digest.hexdigest()}")


async def _add_parts(digest: Any, form: FormData) -> None:
    """The parts' names, file names and bytes, but not the boundary: that is new each time."""
    for name, value in form.multi_items():
        if isinstance(value, str):
            digest.update(repr((name, value)).encode())
            continue
        part = blake3()
        while piece := await value.read(CHUNK):
            part.update(piece)
        await value.seek(0)
        digest.update(repr((name, value.filename, part.hexdigest())).encode())


IdempotencyKeyDep = Annotated[IdempotencyKey | None, Depends(idempotency_key)]
