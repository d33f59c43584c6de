"""Streams of bytes: counting and hashing, splitting, peeking."""

from collections.abc import AsyncIterable, AsyncIterator

from blake3 import blake3

from app.errors import PayloadTooLarge


class Counted:
    """A stream that knows its size and hash after it was read; single use.

    Raises PayloadTooLarge beyond `max_bytes`.
    """

    def __init__(self, chunks: AsyncIterable[bytes], *, max_bytes: int | None = None) -> None:
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._digest = blake3()
        self.size = 0

    @property
    def hash(self) -> str:
        """ "blake3:<hex>" of the bytes read so far."""
        return f"blake3:{self._digest.hexdigest()}"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self._max_bytes is not None and self.size > self._max_bytes:
                raise PayloadTooLarge(
                    f"The file is larger than the {self._max_bytes} bytes that are allowed.",
                    hint="The limit is the setting COMFYUI_MAX_UPLOAD_BYTES.",
                )
            self._digest.update(chunk)
            yield chunk


async def pieces_of(chunks: AsyncIterable[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield the bytes in chunks of at least `size`, except the last."""
    piece = bytearray()
    async for chunk in chunks:
        piece += chunk
        if len(piece) >= size:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


async def look_into(chunks: AsyncIterator[bytes], size: int) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes (up to `size`), and the stream including them."""
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break

    async def whole() -> AsyncIterator[bytes]:
        yield bytes(head)
        async for chunk in chunks:
            yield chunk

    return bytes(head[:size]), whole()
