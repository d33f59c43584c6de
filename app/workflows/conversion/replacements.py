"""Fills `%Node.widget%` and `%date:yyyy-MM-dd%` into the file names of output nodes.

Placeholders of the server, such as `%width%` and `%year%`, are kept.
"""

import datetime
import re
from collections.abc import Callable
from typing import Any, Final

from app.workflows.conversion.model import UNSET, Document, Node, Widget

SAVING = frozenset(
    {
        *("SaveImage", "SaveImageAdvanced", "SaveSVGNode", "SaveAnimatedWEBP", "SaveAnimatedPNG"),
        *("SaveVideo", "SaveWEBM", "SaveLatent", "CLIPSave", "VAESave", "ModelSave", "LoraSave"),
        *("SaveAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"),
        *("SaveGLB", "Save3DAdvanced", "SaveGaussianSplat", "SavePointCloud"),
    }
)
ALIAS = "Node name for S&R"
PATTERN = re.compile(r"%([^%]+)%")
UNFIT = re.compile(r'[/?<>\\:*|"\x00-\x1F\x7F]')
DATE_PART = re.compile(r"dd?|MM?|hh?|mm?|ss?|yyy?y?")


UNKNOWN: Final = object()  # marks a widget that does not exist


def names_in(text: str) -> set[str]:
    """Return the node names of all `%Node.widget%` in the text."""
    found = (match.group(1).split(".") for match in PATTERN.finditer(text))
    return {parts[0] for parts in found if len(parts) == 2}


def filled(text: str, value: Callable[[str, str], Any]) -> str:
    """Return the text with its placeholders filled in; `value(node name, widget name)`."""

    def replacement(match: re.Match[str]) -> str:
        parts = match.group(1).split(".")
        if len(parts) != 2:
            if parts[0].startswith("date:"):
                return _date(parts[0].removeprefix("date:"))
            return match.group()
        found = value(parts[0], parts[1])
        if found is UNKNOWN:
            return match.group()
        return UNFIT.sub("_", "" if found is None else str(found))

    return PATTERN.sub(replacement, text)


class Replacements:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._names: dict[str, Node] | None = None

    def apply(self, node: Node, widget: Widget) -> Any:
        """Return the widget's text, filled in if it is the file name of an output node."""
        if widget.name != "filename_prefix" or node.type not in SAVING:
            return widget.value
        return self.fill(widget.value)

    def fill(self, text: str) -> str:
        return filled(text, self._value)

    def named(self, text: str) -> dict[str, Node]:
        """Return the nodes whose widgets a text refers to."""
        found = {name: self._by_name().get(name) for name in names_in(text)}
        return {name: node for name, node in found.items() if node is not None}

    def _value(self, name: str, widget_name: str) -> Any:
        node = self._by_name().get(name)
        widget = node.widget(widget_name) if node else None
        if widget is None:
            return UNKNOWN
        self._document.effort.copy(widget.value)
        return None if widget.value is UNSET else widget.value

    def _by_name(self) -> dict[str, Node]:
        """Return the nodes by the name in placeholders: their alias, else their title."""
        if self._names is None:
            nodes = [
                node
                for graph in (self._document.root, *self._document.subgraphs.values())
                for node in graph.nodes.values()
            ]
            self._names = {node.title: node for node in reversed(nodes)}
            self._names |= {
                str(node.properties.get(ALIAS) or node.type): node for node in reversed(nodes)
            }
        return self._names


def _date(pattern: str) -> str:
    now = datetime.datetime.now()
    values = {"d": now.day, "M": now.month, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        text = match.group()
        if text[0] == "y":
            return {2: str(now.year)[2:], 4: str(now.year)}.get(len(text), text)
        return str(values[text[0]]).zfill(len(text))

    return DATE_PART.sub(part, pattern)
