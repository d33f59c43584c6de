"""Converts a workflow from UI format to API format.

The reference is `app.graphToPrompt()` of ComfyUI's page: the result has the same nodes, ids and
values.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import InvalidWorkflow
from app.limits.quoting import listed
from app.workflows.conversion import everywhere, primitives
from app.workflows.conversion.assembling import Assembler
from app.workflows.conversion.configure import configure
from app.workflows.conversion.definitions import Definitions
from app.workflows.conversion.effort import Effort
from app.workflows.conversion.model import Document
from app.workflows.conversion.reading import read
from app.workflows.conversion.replacements import Replacements
from app.workflows.conversion.subgraphs.group_nodes import unfold
from app.workflows.conversion.subgraphs.nesting import put_inner_first
from app.workflows.conversion.subgraphs.numbering import renumber
from app.workflows.conversion.subgraphs.promotion import Promotions
from app.workflows.conversion.subgraphs.proxies import adopt

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion; inputs are given as (node id, name).

    `drawn`: inputs that the file marks to be drawn anew for each run, in lists that share a value.
    `alike`: inputs that one primitive sets. `texts`: the original text of inputs whose text was
    filled in; `named`: the ids of the nodes whose widgets these texts refer to, by the name in the
    text.
    """

    prompt: dict[str, Any]
    warnings: list[str]
    drawn: list[list[tuple[str, str]]] = field(default_factory=list)
    alike: list[list[tuple[str, str]]] = field(default_factory=list)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)


def convert(
    workflow: dict[str, Any],
    object_info: Mapping[str, dict[str, Any]],
    *,
    choose: Callable[[Sequence[str]], str] = random.choice,
    effort: Effort | None = None,
) -> Conversion:
    """Convert a workflow file to a prompt.

    `choose` selects options in dynamic prompts. `effort` is a limit that may be shared by several
    conversions. Raises InvalidWorkflow, and nothing else, for any file.
    """
    try:
        document = read(workflow)
        document.effort = effort or document.effort
        return _convert(document, Definitions(object_info), choose)
    except RecursionError as error:  # deeply nested values; nothing else is recursive here
        raise InvalidWorkflow("The workflow's values are nested too deeply.") from error


def _convert(
    document: Document, definitions: Definitions, choose: Callable[[Sequence[str]], str]
) -> Conversion:
    renumber(document)
    unfold(document, definitions)
    put_inner_first(document)  # promoted widgets get the values inside the subgraph
    promotions = Promotions(document)
    everywhere.take_seeds(document, definitions)
    for graph in document.graphs():
        in_file = {node.id: {slot.name for slot in node.inputs} for node in graph.nodes.values()}
        configure(document, graph, definitions)
        everywhere.broadcast(document, graph, in_file)
        promotions.settle(graph)
        adopt(document, promotions, graph)
    replacements = Replacements(document)  # of texts, by the final values of all widgets
    primitives.apply(document, replacements)
    assembler = Assembler(document, promotions, replacements, choose)
    prompt = assembler.prompt()
    return Conversion(
        prompt,
        listed(document.warnings),
        drawn=assembler.drawn(),
        alike=assembler.alike(),
        texts=assembler.texts(),
        named=assembler.named(),
    )
