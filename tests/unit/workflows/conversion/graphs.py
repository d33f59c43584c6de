"""Small workflow files, written short, and the node classes that they use."""

from typing import Any

from app.workflows.conversion import Conversion, convert

Json = dict[str, Any]

SEED = ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
STEPS = ["INT", {"default": 20, "min": 1, "max": 10000}]
FLOAT = ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}]
TEXT = ["STRING", {"multiline": True, "dynamicPrompts": True}]

INFO: dict[str, Json] = {
    "Load": {"input": {"required": {"name": [["a.ckpt", "b.ckpt"]]}}, "output": ["MODEL", "CLIP"]},
    "Encode": {
        "input": {"required": {"text": TEXT, "clip": ["CLIP"]}},
        "output": ["COND"],
        "display_name": "Encode Text",
    },
    "Sample": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": SEED,
                "steps": STEPS,
                "cfg": FLOAT,
                "mode": ["COMBO", {"options": ["fast", "fine"]}],
                "positive": ["COND"],
            },
            "optional": {"latent": ["LATENT"]},
        },
        "output": ["LATENT"],
    },
    "Tune": {
        "input": {"required": {"model": ["MODEL"], "strength": FLOAT}},
        "output": ["MODEL"],
    },
    "Number": {"input": {"required": {"value": ["INT", {"min": 0, "max": 99}]}}, "output": ["INT"]},
    "Show": {"input": {"required": {"anything": ["*"]}}, "output": []},
}


def node(node_id: int | str, kind: str, *values: Any, **more: Any) -> Json:
    """A node of the file; `inputs` as `name=link id` or `name=(link id, type)`."""
    inputs = [slot(name, link) for name, link in more.pop("inputs", {}).items()]
    outputs = [{"name": kind, "type": kind, "links": []} for kind in more.pop("outputs", ())]
    found = {"id": node_id, "type": kind, "mode": 0, "inputs": inputs, "outputs": outputs}
    return found | ({"widgets_values": list(values)} if values else {}) | more


def slot(name: str, link: Any) -> Json:
    link_id, kind = link if isinstance(link, tuple) else (link, "*")
    return {"name": name, "type": kind, "link": link_id}


def flow(nodes: list[Json], *links: list[Any], **more: Any) -> Json:
    return {"nodes": nodes, "links": list(links), "version": 0.4, "extra": {}, **more}


def subgraph(name: str, nodes: list[Json], *links: list[Any], **borders: list[Json]) -> Json:
    """A definition; links of subgraphs are always objects."""
    fields = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
    written = [dict(zip(fields, link, strict=False)) for link in links]
    return {
        "id": name, "name": f"The {name}", "nodes": nodes, "links": written, "inputs": [],
        "outputs": [], **borders,
    }  # fmt: skip


def border(name: str, *link_ids: int, kind: str = "*") -> Json:
    """An input or output of a subgraph."""
    return {"name": name, "type": kind, "linkIds": list(link_ids)}


def run(workflow: Json, info: Json | None = None, **more: Any) -> Conversion:
    return convert(workflow, INFO | (info or {}), **more)


def inputs_of(workflow: Json, node_id: str, info: Json | None = None, **more: Any) -> Json:
    """The inputs of one node in the prompt."""
    found: Json = run(workflow, info, **more).prompt[node_id]["inputs"]
    return found
