"""The JSON of a parameter. Pure."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from app.workflows.parameters.model import Parameter, Type


class ParameterJson(TypedDict):
    key: Annotated[str, Field(description='"<node_id>.<input>"')]
    node_id: Annotated[str, Field(description="The first part of the key; it may hold dots.")]
    input: Annotated[str, Field(description="The second one; it may hold dots, too.")]
    name: Annotated[str | None, Field(description="A friendly name, unique in the workflow.")]
    role: Annotated[str | None, Field(description="What it does: prompt, seed, width, ...")]
    type: Type
    value: Annotated[Any, Field(description="What stands in the workflow.")]
    class_type: Annotated[str, Field(description="The node's type.")]
    title: Annotated[str | None, Field(description="The node's title.")]
    default: Annotated[Any, Field(description="Of the node, where a server tells it.")]
    min: float | None
    max: float | None
    step: float | None
    choices: Annotated[list[Any] | None, Field(description="Of all servers together.")]
    multiselect: Annotated[bool, Field(description="It takes a list of choices.")]
    multiline: bool
    upload: Annotated[str | None, Field(description="image, video, ...: names an uploaded file.")]
    tooltip: str | None
    known: Annotated[bool, Field(description="False: no server told its type; it is guessed.")]


def parameter_json(parameter: Parameter) -> ParameterJson:
    return {
        "key": parameter.key,
        "node_id": parameter.node_id,
        "input": parameter.input,
        "name": parameter.name,
        "role": parameter.role,
        "type": parameter.type,
        "value": parameter.value,
        "class_type": parameter.class_type,
        "title": parameter.title,
        "default": parameter.default,
        "min": parameter.min,
        "max": parameter.max,
        "step": parameter.step,
        "choices": parameter.choices,
        "multiselect": parameter.multiselect,
        "multiline": parameter.multiline,
        "upload": parameter.upload,
        "tooltip": parameter.tooltip,
        "known": parameter.known,
    }
