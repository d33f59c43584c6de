"""The type of JSON with unknown content, such as workflows; the API's own JSON has TypedDicts."""

from typing import Any

Json = dict[str, Any]
