"""Files contained in a value: base64, and data: URIs. Pure."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

from app.errors import InvalidParameter

PIECE = 256 << 10  # characters of a data: URI that are decoded at a time
_SPACES = b" \t\n\r\x0b\x0c"


def from_base64(text: str) -> bytes:
    """Decode base64, which may be in a data: URI. Raises InvalidParameter."""
    return from_data_uri(text) if text[:5].lower() == "data:" else _decoded(text)


def _decoded(text: str | bytes) -> bytes:
    try:
        packed = text.encode() if isinstance(text, str) else text
        return base64.b64decode(packed.translate(None, _SPACES), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter("This is not base64 (the standard alphabet, padded).") from error


def from_data_uri(text: str) -> bytes:
    """Decode data:[type][;base64],DATA (RFC 2397). Raises InvalidParameter."""
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
    """Decode a percent-encoded text in chunks.

    unquote_to_bytes creates several objects per escape, and a text may consist of escapes only.
    """
    pieces, at = [], 0
    while at < len(text):
        end = at + PIECE
        escape = text.rfind("%", max(end - 2, 0), end)  # do not split an escape
        end = escape if escape > at else end
        pieces.append(unquote_to_bytes(text[at:end]))
        at = end
    return b"".join(pieces)
