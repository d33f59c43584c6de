"""Assembles the prompt: every node that runs, with its widget values and links."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from app.limits.json_types import Json
from app.workflows.conversion.dynamic_prompts import choose_texts
from app.workflows.conversion.execution_order import in_order
from app.workflows.conversion.model import UNSET, Document, Drawn, Node, Widget, as_number
from app.workflows.conversion.refusing import refused
from app.workflows.conversion.replacements import Replacements
from app.workflows.conversion.resolution import GraphScope, Origin, Resolver
from app.workflows.conversion.subgraphs.promotion import Promotions
from app.workflows.conversion.virtual import VIRTUAL

MAX_NODES = 50_000  # nested subgraphs that are used repeatedly may unfold to any number of nodes


class Assembler:
    def __init__(
        self,
        document: Document,
        promotions: Promotions,
        replacements: Replacements,
        choose: Callable[[Sequence[str]], str],
    ) -> None:
        self._document = document
        self._choose = choose
        self._replacements = replacements
        self._resolver = Resolver(document, promotions)
        self._drawn: dict[Drawn, list[tuple[str, str]]] = {}
        self._primitives: dict[str, list[tuple[str, str]]] = {}
        self._texts: dict[tuple[str, str], str] = {}
        # Ids in the prompt; the first one if a node occurs repeatedly
        self._ids: dict[Node, str] = {}

    def prompt(self) -> Json:
        prompt: Json = {}
        for scope, node in self._running():
            self._document.effort.read(scope.prefix)
            self._ids.setdefault(node, f"{scope.prefix}{node.id}")
            prompt[f"{scope.prefix}{node.id}"] = {
                "inputs": self._inputs(scope, node),
                "class_type": node.type,
                "_meta": {"title": node.title},
            }
        _drop_dangling_links(prompt)
        return dict(sorted(prompt.items(), key=_page_order))

    def drawn(self) -> list[list[tuple[str, str]]]:
        """Return the inputs that the file marks to be drawn anew, in lists that share a value."""
        return list(self._drawn.values())

    def texts(self) -> dict[tuple[str, str], str]:
        """Return the original texts that each run fills in anew, by the input of the prompt."""
        return self._texts

    def named(self) -> dict[str, str]:
        """Return the ids of the nodes that these texts refer to, by the name in the text."""
        return {
            name: self._ids[node]
            for text in self._texts.values()
            for name, node in self._replacements.named(text).items()
            if node in self._ids
        }

    def alike(self) -> list[list[tuple[str, str]]]:
        """Return the lists of inputs that one primitive sets."""
        return [keys for keys in self._primitives.values() if len(keys) > 1]

    def _running(self) -> list[tuple[GraphScope, Node]]:
        """Return all nodes that run, with subgraphs unfolded in place.

        A muted or bypassed subgraph of the root is not unfolded; deeper ones are, as in the page.
        """
        root = GraphScope(self._document.root)
        found: list[tuple[GraphScope, Node]] = []
        stack = [(root, iter(in_order(root.graph)))]
        while stack:
            scope, nodes = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
                continue
            definition = self._document.definition(node)
            found.append((scope, node))
            if definition is not None and (scope is not root or not node.off):
                self._document.effort.read(scope.prefix)
                inner = GraphScope(definition, f"{scope.prefix}{node.id}:", node, scope)
                scope.inside[node.id] = inner
                stack.append((inner, iter(definition.nodes.values())))
            if len(found) > MAX_NODES:
                place = f"{scope.prefix}{node.id}"
                message = f"The subgraphs unfold to more than {MAX_NODES} nodes here."
                raise refused(place, node.type, "too_many_nodes", message)
        return [(scope, node) for scope, node in found if self._runs(node)]

    def _runs(self, node: Node) -> bool:
        return not (node.off or node.type in VIRTUAL or self._document.definition(node) is not None)

    def _inputs(self, scope: GraphScope, node: Node) -> Json:
        inputs: Json = {}
        drawn: dict[str, Drawn | None] = {}
        node_id = f"{scope.prefix}{node.id}"
        for widget in node.widgets:
            if widget.sent and widget.name:
                value = self._sent_value(scope, node, widget)
                if value != widget.value and isinstance(widget.value, str):
                    self._texts[node_id, widget.name] = widget.value
                self._document.effort.copy(value)
                inputs[widget.name] = wrapped(widget, value)
                drawn[widget.name] = widget.drawn
        for place, slot in enumerate(node.inputs):
            origin = self._resolver.origin(scope, node, place) if slot.link else None
            if origin is not None:
                self._document.effort.make(1)
                drawn[slot.name] = origin.drawn
                self._connect(inputs, slot.name, origin)
                self._texts.pop((node_id, slot.name), None)
                if origin.primitive and slot.name in inputs:
                    key = node_id, slot.name
                    self._primitives.setdefault(origin.primitive, []).append(key)
        inputs = {name: value for name, value in inputs.items() if value is not UNSET}
        self._note(node_id, drawn, inputs)
        return inputs

    def _connect(self, inputs: Json, name: str, origin: Origin) -> None:
        if origin.value is not None:
            self._document.effort.copy(origin.value[0])
            inputs[name] = wrapped(None, origin.value[0])
        elif origin.node_id:
            inputs[name] = [origin.node_id, origin.slot]

    def _note(self, node_id: str, drawn: dict[str, Drawn | None], inputs: Json) -> None:
        for name, one in drawn.items():
            if one is not None and name in inputs:
                self._drawn.setdefault(one, []).append((node_id, name))

    def _sent_value(self, scope: GraphScope, node: Node, widget: Widget) -> Any:
        if widget.type == "INDEX":
            return self._chosen_index(scope, node)
        if not isinstance(widget.value, str):
            return widget.value
        if widget.options.get("dynamicPrompts") is True:
            return choose_texts(widget.value, self._choose, self._document.effort)
        return self._replacements.apply(node, widget)

    def _chosen_index(self, scope: GraphScope, node: Node) -> int:
        """Return the index of a CustomCombo's choice, which is what it sends."""
        combo = node.widgets[0]
        choice = combo.value
        for place, slot in enumerate(node.inputs):
            if slot.widget == combo.name and slot.link is not None:
                origin = self._resolver.origin(scope, node, place)
                if origin is not None and origin.value is not None:
                    choice = origin.value[0]
        options = [widget.value for widget in node.widgets if widget.type == "OPTION"]
        return options.index(choice) if choice in options else -1


def wrapped(widget: Widget | None, value: Any) -> Any:
    """Return a copy of a value, with lists wrapped: a plain list in a prompt is a link."""
    if isinstance(value, list | dict):
        value = copy.deepcopy(value)
    if widget is not None and widget.type == "CURVE" and value is not None:
        return {"__type__": "CURVE", "__value__": value}
    return {"__value__": value} if isinstance(value, list) else value


def _drop_dangling_links(prompt: Json) -> None:
    """Remove links to nodes that do not run."""
    for node in prompt.values():
        inputs = node["inputs"]
        for name in [
            name
            for name, value in inputs.items()
            if isinstance(value, list) and value[0] not in prompt
        ]:
            del inputs[name]


def _page_order(item: tuple[str, Any]) -> tuple[int, int]:
    """Sort key: numeric ids first and in order, like keys of a JavaScript object."""
    number = as_number(item[0])
    return (1, 0) if number is None else (0, number)
