"""The nesting of subgraphs: inner ones are processed first, cycles are refused."""

from collections.abc import Iterator

from app.limits.quoting import quoted
from app.workflows.conversion.model import Document, Graph
from app.workflows.conversion.refusing import refused


def put_inner_first(document: Document) -> None:
    """Sort the subgraphs used by the root, at any depth, inner ones first; drop unused ones.

    Raises InvalidWorkflow if a subgraph contains itself.
    """
    ordered: dict[str, Graph] = {}
    open_: dict[str, None] = {}  # entered but not completed: the ancestors
    stack = [_used_by(document, document.root)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            if open_:
                done, _ = open_.popitem()
                ordered[done] = document.subgraphs[done]
            continue
        node_id, name = found
        if name in open_:
            title = document.subgraphs[name].name or name
            message = f"The subgraph {quoted(title)} contains itself."
            raise refused(node_id, name, "subgraph_circle", message)
        if name not in ordered:
            open_[name] = None
            stack.append(_used_by(document, document.subgraphs[name]))
    document.subgraphs = ordered


def _used_by(document: Document, graph: Graph) -> Iterator[tuple[str, str]]:
    return (
        (node.id, node.type) for node in graph.nodes.values() if node.type in document.subgraphs
    )
