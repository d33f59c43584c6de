"""An OpenAPI 3.1 document for a saved workflow: one operation with the workflow's parameters.

For code generators and for programs that call tools by a schema. Pure.
"""

from collections.abc import Sequence
from typing import Any

from app.limits.json_types import Json
from app.workflows.parameters.model import Parameter
from app.workflows.parameters.seeds import names_seed

MAX_CHOICES = 200  # more choices are only described

_TYPES = {"int": "integer", "float": "number", "string": "string", "boolean": "boolean"}
_TASK: Json = {
    "type": "object",
    "required": ["task_id", "status", "outputs"],
    "properties": {
        "task_id": {"type": "string"},
        "status": {
            "type": "string",
            "description": "queued, running, canceling; in the end succeeded, failed, canceled.",
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "node_id": {"type": "string"},
                    "kind": {"type": "string"},
                    "url": {"type": ["string", "null"]},
                    "text": {"type": ["string", "null"]},
                },
            },
        },
        "error": {"type": ["object", "null"]},
    },
}
_PROBLEM: Json = {
    "type": "object",
    "required": ["status", "code", "detail"],
    "properties": {
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_OPTIONS: Json = {
    "timeout": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "maximum": 604800,
        "description": "Seconds of running after which to cancel.",
    },
    "priority": {"type": "integer", "minimum": -1000, "maximum": 1000, "default": 0},
    "metadata": {"type": "object", "description": "Yours; it comes back as it is."},
    "randomize": {
        "type": "boolean",
        "default": False,
        "description": "Draw new seeds, where params give none.",
    },
    "fill_texts": {
        "type": ["boolean", "null"],
        "description": "Fill in {a|b} and %date:yyyy-MM-dd%; null: where the file is in UI format.",
    },
    "server": {"type": ["string", "null"], "description": "Only on this server, by its id."},
    "webhook": {
        "type": ["string", "object", "null"],
        "description": "Where to tell of the task's end: a URL, or {url, events, headers, secret}.",
    },
}
_WAIT: Json = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to wait for the finished task.",
    "schema": {"type": "number", "minimum": 0, "maximum": 3600, "default": 0},
}


def document(filename: str, version: str, path: str, parameters: Sequence[Parameter]) -> Json:
    """Return the document; `path` is the path of the route that runs the workflow."""
    title = filename.removesuffix(".json")
    operation = {
        "operationId": "run",
        "summary": f"Run the workflow {title}",
        "parameters": [_WAIT],
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": _request(parameters)}},
        },
        "responses": {
            "200": _answer("With `wait`: the task is finished.", "application/json", "Task"),
            "202": _answer("The task, queued or running.", "application/json", "Task"),
            "default": _answer("What is wrong.", "application/problem+json", "Problem"),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": {path: {"post": operation}},
        "components": {"schemas": {"Task": _TASK, "Problem": _PROBLEM}},
    }


def schema_of(parameter: Parameter) -> Json:
    """Return the JSON Schema of one parameter's values."""
    schema: Json = {"title": _title(parameter)}
    choices = _distinct(parameter.choices or [])
    if parameter.type in _TYPES:
        schema["type"] = _TYPES[parameter.type]
    elif parameter.upload:
        schema["type"] = "string"
        schema["description"] = (
            "The name of an uploaded file (POST /api/image/upload), an http(s) URL or a data: URI."
        )
    elif len(choices) > MAX_CHOICES:
        shown = ", ".join(str(choice) for choice in choices[:3])
        schema["description"] = f"One of {len(choices)} choices, such as {shown}."
    elif choices:
        schema["enum"] = choices
    if parameter.multiselect:
        schema = {"title": schema.pop("title"), "type": "array", "items": schema}
    if parameter.type in ("int", "float"):
        schema.update(_limits(parameter))
    if _fits(parameter.value, schema):
        schema["default"] = parameter.value
    return schema


def _request(parameters: Sequence[Parameter]) -> Json:
    values: Json = {}
    for parameter in parameters:
        values[parameter.key] = schema_of(parameter)
        if parameter.name:
            same = f"The same as {parameter.key}; give one of the two."
            values.setdefault(parameter.name, {**values[parameter.key], "description": same})
    params = {"type": "object", "properties": values, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"params": params, **_OPTIONS},
        "additionalProperties": False,
    }


def _title(parameter: Parameter) -> str:
    return f"{parameter.title or parameter.class_type}: {parameter.input}"


def _limits(parameter: Parameter) -> Json:
    found: Json = {}
    if parameter.min is not None:
        found["minimum"] = parameter.min
    if parameter.max is not None:
        found["maximum"] = parameter.max
    is_seed = parameter.role == "seed" or names_seed(parameter.input)
    if is_seed and (parameter.min or 0) >= 0:
        found |= {"minimum": -1, "description": "-1 draws a random one."}
    return found


def _fits(value: Any, schema: Json) -> bool:
    """Return whether the value is a valid default for the schema: files contain invalid ones."""
    if "enum" in schema:
        return value in schema["enum"]
    match schema.get("type"):
        case "integer" | "number":
            wanted = int if schema["type"] == "integer" else (int, float)
            return (
                isinstance(value, wanted)
                and not isinstance(value, bool)
                and schema.get("minimum", value) <= value <= schema.get("maximum", value)
            )
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list) and all(_fits(one, schema["items"]) for one in value)
    return value is not None


def _distinct(choices: Sequence[Any]) -> list[Any]:
    """Return each choice once, with 1 and true kept apart as in JSON."""
    return list({(type(choice), repr(choice)): choice for choice in choices}.values())


def _answer(description: str, media_type: str, schema: str) -> Json:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}
