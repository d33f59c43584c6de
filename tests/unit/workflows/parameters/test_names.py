"""The names of parameters."""

from typing import Any

from app.workflows.parameters.names import names_of, slug
from app.workflows.parameters.roles import roles_of

Json = dict[str, Any]


def node(class_type: str, title: str | None = None, **inputs: Any) -> Json:
    meta = {"_meta": {"title": title}} if title else {}
    return {"class_type": class_type, "inputs": inputs, **meta}


def named(prompt: Json) -> dict[str, str]:
    """name -> key"""
    return {name: ".".join(key) for key, name in names_of(prompt, roles_of(prompt)).items()}


def test_names_are_unique_and_cover_everything() -> None:
    graph = {str(number): node("A", f"Node {number}", foo=1, bar="x") for number in range(5)}
    names = named(graph)
    assert len(names) == 10
    assert names["foo"] == "0.foo"
    assert names["node_3_foo"] == "3.foo"


def test_slug() -> None:
    assert slug("  Load Image (2)! ") == "load_image_2"
    assert slug("提示词 1") == "提示词_1"
