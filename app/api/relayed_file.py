"""Files of servers over HTTP, streamed from them."""

from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from app.api.file_response import HeadersOf, safe_headers
from app.files.kinds import content_type_of
from app.files.signatures import SNIFFED_BYTES
from app.files.stores.streams import look_into
from app.servers.server import Server


async def relayed(
    request: Request,
    server: Server,
    filename: str,
    subfolder: str,
    folder: str,
    *,
    headers_of: HeadersOf = safe_headers,
) -> Response:
    """Stream a file from one of the folders of a server. Raises ComfyMissing."""
    view = server.client.view(filename, subfolder=subfolder, type=folder)
    file = await view.__aenter__()
    try:
        head, whole = await look_into(file.chunks, SNIFFED_BYTES)
    except BaseException:
        await view.__aexit__(None, None, None)
        raise

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in whole:
                yield chunk
        finally:
            await view.__aexit__(None, None, None)

    content_type = content_type_of(filename, file.content_type, head)
    headers = headers_of(content_type, filename, head)
    if request.method == "HEAD":
        await view.__aexit__(None, None, None)
        return Response(headers=headers, media_type=content_type)
    return StreamingResponse(body(), media_type=content_type, headers=headers)
