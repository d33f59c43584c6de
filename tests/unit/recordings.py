"""The recorded traffic in tests/fixtures/comfyui."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "fixtures" / "comfyui"
VERSIONS = ("0.3.64", "0.33.0")


def _lines(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def messages(version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(case, JSON message) of each text frame."""
    for line in _lines(f"frames-{version}.jsonl.gz"):
        if "text" in line:
            yield line["case"], line["text"]


def binaries(version: str) -> Iterator[tuple[str, bytes]]:
    """(case, frame) of each binary frame; images are cut off."""
    for line in _lines(f"frames-{version}.jsonl.gz"):
        if "binary_b64" in line:
            yield line["case"], base64.b64decode(line["binary_b64"])


def histories(version: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(case, history entry)."""
    for line in _lines(f"history-{version}.jsonl.gz"):
        yield line["case"], line["entry"]
