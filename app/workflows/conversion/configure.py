"""Brings the nodes of a graph into the state that the page has after loading a file.

The class determines the inputs, the file their links and values. Links are matched by the name of
the input, as its index differs between versions of a class.
"""

from app.limits.quoting import quoted
from app.workflows.conversion.definitions import DYNAMIC_COMBO, Definitions, NodeClass
from app.workflows.conversion.layout import lay_out
from app.workflows.conversion.model import Document, Graph, Link, Node, Slot, Widget
from app.workflows.conversion.values import restore
from app.workflows.conversion.virtual import EVERYWHERE, VIRTUAL


def configure(document: Document, graph: Graph, definitions: Definitions) -> None:
    """Lay out all nodes of the graph, set their values, and connect their inputs."""
    incoming: dict[str, list[Link]] = {}
    for link in graph.links.values():
        incoming.setdefault(link.target, []).append(link)
    for node in graph.nodes.values():
        saved = node.inputs
        links = incoming.get(node.id, [])
        definition = document.definition(node)
        node_class = definitions.get(node.type) if node.type not in EVERYWHERE else None
        if definition is not None:
            document.effort.make(len(definition.inputs) + len(definition.outputs))
            node.inputs = [Slot(slot.name, slot.type) for slot in definition.inputs]
            node.outputs = [Slot(slot.name, slot.type) for slot in definition.outputs]
            node.title = node.title or definition.name
        elif node_class is not None:
            _configure_by_class(node, node_class, links)
            document.effort.make(len(node.widgets) + len(node.inputs))
        elif node.type not in VIRTUAL:
            _configure_unknown(document, node)
        for lost in connect(node, saved, links):
            del graph.links[lost.id]


def _configure_by_class(node: Node, node_class: NodeClass, links: list[Link]) -> None:
    saved = node.inputs
    lay_out(node, node_class)
    at_first = [slot.name for slot in node.inputs]
    restore(node, node_class)
    present = {slot.name for slot in node.inputs}
    choices = _dynamic_combos(node)
    _move_strays(
        node, [slot for slot in saved if slot.name not in present], links, at_first, choices
    )
    _keep_matched_types(node, saved, node_class)
    node.inputs += [
        Slot(slot.name, slot.type, slot.widget)
        for slot in saved
        if slot.name not in present and _may_stay(node, slot, choices)
    ]
    _retype_outputs(node, node_class)
    node.title = node.title or node_class.title


def _keep_matched_types(node: Node, saved: list[Slot], node_class: NodeClass) -> None:
    """Take the types of inputs with a matched type from the file."""
    types = {slot.name: slot.type for slot in saved if slot.name in node_class.matched}
    for slot in node.inputs if types else ():
        slot.type = types.get(slot.name, slot.type)


def _move_strays(
    node: Node, gone: list[Slot], links: list[Link], at_first: list[str], choices: tuple[str, ...]
) -> None:
    """Rename saved autogrow inputs of another choice like the page does.

    The page keeps the link at its index in the layout before the choice, so the link goes to the
    input at that index, if the input stays.
    """
    numbers = {link.id: link.target_slot for link in links} if gone else {}
    for slot in gone:
        number = numbers.get(slot.link_id or "", -1)
        is_grown = node.widget(slot.name.rpartition(".")[0]) is None
        if not is_grown or not 0 <= number < len(at_first):
            continue
        if _is_of_another_choice(node, slot.name, choices):
            slot.name = at_first[number]


def _may_stay(node: Node, slot: Slot, choices: tuple[str, ...]) -> bool:
    """Return whether to keep a saved input that the class does not lay out.

    Custom code adds such inputs, and autogrow groups have more members. An input is dropped if its
    widget is gone or it belongs to another choice.
    """
    if _is_of_another_choice(node, slot.name, choices):
        return False
    return slot.widget is None or node.widget(slot.widget) is not None


def _dynamic_combos(node: Node) -> tuple[str, ...]:
    """Return the prefixes of the inputs that depend on a dynamic combo."""
    return tuple(f"{widget.name}." for widget in node.widgets if widget.type == DYNAMIC_COMBO)


def _is_of_another_choice(node: Node, name: str, choices: tuple[str, ...]) -> bool:
    """Return whether the input exists only with another choice of a dynamic combo."""
    return name.rpartition(".")[0] not in node.groups and name.startswith(choices)


def _retype_outputs(node: Node, node_class: NodeClass) -> None:
    """Set the types of outputs to those of the class, except types that depend on a link."""
    for place, kind in enumerate(node_class.outputs):
        if place >= len(node.outputs):
            node.outputs.append(Slot("", "*" if kind.startswith("COMFY_") else kind))
        elif not kind.startswith("COMFY_"):
            node.outputs[place].type = kind


def _configure_unknown(document: Document, node: Node) -> None:
    """Lay out a node of an unknown class; newer files name its widgets in the inputs, in order."""
    node.title = node.title or node.type
    if isinstance(node.values, dict):
        node.widgets = [Widget(name, "", value) for name, value in node.values.items()]
    else:
        names = [slot.widget for slot in node.inputs if slot.widget]
        node.widgets = [
            Widget(name, "", value) for name, value in zip(names, node.values, strict=False)
        ]
    document.warn(f"Node {node.id}: the server has no node type {quoted(node.type)}.")


def connect(node: Node, saved: list[Slot], links: list[Link]) -> list[Link]:
    """Connect each link to the input of its name in the file, or by its index if it has none.

    Returns the links whose input does not exist.
    """
    names: dict[str, list[str]] = {}
    for slot in saved:
        if slot.link_id is not None:
            names.setdefault(slot.link_id, []).append(slot.name)
    slots = {slot.name: slot for slot in reversed(node.inputs)}
    lost = []
    for link in sorted(links, key=lambda link: link.id not in names):
        found = _input_of(link, names.get(link.id, []), slots, node.inputs)
        if found is None or found.link is not None:
            lost.append(link)
        else:
            found.link = link
    for place, slot in enumerate(node.inputs):
        if slot.link is not None:
            slot.link.target_slot = place
    return lost


def _input_of(
    link: Link, names: list[str], slots: dict[str, Slot], inputs: list[Slot]
) -> Slot | None:
    if names:
        return next((slots[name] for name in names if name in slots), None)
    return inputs[link.target_slot] if 0 <= link.target_slot < len(inputs) else None
