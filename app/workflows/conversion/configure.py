"""Bring the nodes of a graph to the state in which the page holds them once a file is open.

The class decides which inputs there are; the file says what is connected and what it is set to.
Links are matched by the input's name, since the number of an input changes between versions.
"""

from app.limits.quoting import quoted
from app.workflows.conversion.definitions import DYNAMIC_COMBO, Definitions, NodeClass
from app.workflows.conversion.layout import lay_out
from app.workflows.conversion.model import Document, Graph, Link, Node, Slot, Widget
from app.workflows.conversion.values import restore
from app.workflows.conversion.virtual import EVERYWHERE, VIRTUAL


def configure(document: Document, graph: Graph, definitions: Definitions) -> None:
    """Lay out every node of the graph, set its values, connect its inputs."""
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
    """Inputs that take the type of what is connected: the file knows which."""
    types = {slot.name: slot.type for slot in saved if slot.name in node_class.matched}
    for slot in node.inputs if types else ():
        slot.type = types.get(slot.name, slot.type)


def _move_strays(
    node: Node, gone: list[Slot], links: list[Link], at_first: list[str], choices: tuple[str, ...]
) -> None:
    """The page leaves the link of an autogrow input of another choice where its number leads in
    the layout before the choice; it connects whatever stands there, if that stays."""
    numbers = {link.id: link.target_slot for link in links} if gone else {}
    for slot in gone:
        number = numbers.get(slot.link_id or "", -1)
        is_grown = node.widget(slot.name.rpartition(".")[0]) is None
        if not is_grown or not 0 <= number < len(at_first):
            continue
        if _is_of_another_choice(node, slot.name, choices):
            slot.name = at_first[number]


def _may_stay(node: Node, slot: Slot, choices: tuple[str, ...]) -> bool:
    """Whether an input that the class does not lay out is kept. Custom code adds such inputs,
    and groups grow; but one goes whose widget is gone, or that belongs to another choice."""
    if _is_of_another_choice(node, slot.name, choices):
        return False
    return slot.widget is None or node.widget(slot.widget) is not None


def _dynamic_combos(node: Node) -> tuple[str, ...]:
    """How the names of inputs begin that a choice brings."""
    return tuple(f"{widget.name}." for widget in node.widgets if widget.type == DYNAMIC_COMBO)


def _is_of_another_choice(node: Node, name: str, choices: tuple[str, ...]) -> bool:
    """Whether an input that is not there would be there if a dynamic combo were set otherwise."""
    return name.rpartition(".")[0] not in node.groups and name.startswith(choices)


def _retype_outputs(node: Node, node_class: NodeClass) -> None:
    """Types are the class's, but an output with a type by what is connected keeps its own."""
    for place, kind in enumerate(node_class.outputs):
        if place >= len(node.outputs):
            node.outputs.append(Slot("", "*" if kind.startswith("COMFY_") else kind))
        elif not kind.startswith("COMFY_"):
            node.outputs[place].type = kind


def _configure_unknown(document: Document, node: Node) -> None:
    """A type that the server lacks: newer files name its widgets in the inputs, in order."""
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
    """Give each link its input: the one of the name under which the file has it, or of the number
    if the file has it under none. Returns the links whose input is gone."""
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
