"""Secrets of API keys in texts that are logged or told. Pure.

Nothing repeats one on purpose. But a token stands in paths, and paths come into texts in ways that
are not ours: lines of the server's library, a traceback, an address that a proxy put together.
"""

import re

KEY, TOKEN = "cgw_", "cgu_"  # how keys begin, and tokens for paths
_SECRET = re.compile(rf"(?:{KEY}|{TOKEN})[A-Za-z0-9_-]{{16,}}")


def without_secrets(text: str) -> str:
    """Return the text with keys and tokens struck out."""
    return _SECRET.sub("***", text) if KEY in text or TOKEN in text else text
