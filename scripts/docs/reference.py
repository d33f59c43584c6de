"""docs/reference.md, out of the OpenAPI document and the tree of errors."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import app.main
from app.errors import GatewayError
from app.settings import Settings

Json = dict[str, Any]
METHODS = ("get", "head", "post", "put", "patch", "delete")
EVERYWHERE = {"401", "403", "default"}  # said once, at the top
CODE = re.compile(r"`([a-z_]+)`")
HEAD = """\
# Reference

Every route over HTTP, with all its parameters, fields and errors. How they work together is in the
guide, [API_USAGE.md](../API_USAGE.md); the WebSocket is [there](../API_USAGE.md#live-updates), too.
This page is made by `.venv/bin/python -m scripts.docs` out of the OpenAPI document, which a gateway
serves at `/openapi.json`, and at `/docs` as a page to try things out.

- *Scope* is what an API key needs where keys are in use: `read`, `run` or `manage`.
- A field or parameter in **bold** is required. Times are ISO 8601 in UTC.
- Any route may also answer 401 `unauthorized`, 403 `forbidden`, `host_not_allowed` or
  `origin_not_allowed`, 429 `rate_limited`, 503 `too_many_connections`, and one with a body or a
  query 422 `invalid_input`. All [codes](#error-codes) are below.
"""


def document() -> Json:
    """The OpenAPI document of a gateway with the default settings."""
    settings = Settings.model_construct()
    found: Json = app.main.create_app(settings).openapi()
    return found


def page(openapi: Json | None = None) -> str:
    openapi = openapi or document()
    return "".join([HEAD, *Reference(openapi).parts(), *codes()])


def operations(openapi: Json) -> Iterator[tuple[str, Json]]:
    """("GET /api/tasks", its description) of each, in the order of the document."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            if method in METHODS:
                yield f"{method.upper()} {path}", operation


def anchor(route: str) -> str:
    """As GitHub makes it of the route's heading."""
    return re.sub(r"[^\w\- ]", "", route.lower()).replace(" ", "-")


def error_codes(operation: Json) -> dict[str, list[str]]:
    """By status: the codes of its own errors."""
    return {
        status: found
        for status, answer in sorted(operation["responses"].items())
        if status >= "4" and status not in EVERYWHERE
        if (found := _codes_in(answer["description"]))
    }


def _codes_in(text: str) -> list[str]:
    return [code for code in dict.fromkeys(CODE.findall(text)) if code != "rate_limited"]


def inlined(schema: Any, components: Json) -> Any:
    """The schema with components in place of references to them: a body is shown whole."""
    if isinstance(schema, list):
        return [inlined(each, components) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(components[_ref(schema)], components)
    return {name: inlined(each, components) for name, each in schema.items()}


class Reference:
    """Makes the parts of the page out of one OpenAPI document."""

    def __init__(self, openapi: Json) -> None:
        self._openapi = openapi
        self._schemas: Json = openapi["components"]["schemas"]
        short = Counter(name.rpartition("__")[2] for name in self._schemas)
        self._names = {
            name: tail if short[tail] == 1 else name.replace("__", ".").removeprefix("app.api.")
            for name in self._schemas
            for tail in [name.rpartition("__")[2]]
        }
        self._linked: list[str] = []  # components that need a section, in the order of their use

    def parts(self) -> Iterator[str]:
        groups: dict[str, list[tuple[str, Json]]] = {}
        for route, operation in operations(self._openapi):
            groups.setdefault(operation["tags"][0], []).append((route, operation))
        titles = {tag: tag[0].upper() + tag[1:] for tag in groups}
        links = [f"[{title}](#{anchor(title)})" for title in titles.values()]
        yield f"\n{' · '.join([*links, '[Objects](#objects)', '[Error codes](#error-codes)'])}\n"
        for tag, routes in groups.items():
            yield f"\n## {titles[tag]}\n"
            for route, operation in routes:
                yield from self._route(route, operation)
        yield "\n## Objects\n\nWhat answers consist of.\n"
        for name in self._linked:  # grows while it is walked
            yield from self._object(name)

    def _route(self, route: str, operation: Json) -> Iterator[str]:
        yield f"\n### `{route}`\n\n{operation.get('description', '').strip()}\n"
        scope = operation.get("x-scope")
        yield f"\nScope: {f'`{scope}`' if scope else 'none'}.\n"
        if parameters := operation.get("parameters"):
            yield "\n| parameter | in | type | meaning |\n|---|---|---|---|\n"
            for each in parameters:
                name = each["name"].title() if each["in"] == "header" else each["name"]
                name = _name(name, each.get("required", False))
                schema = each["schema"]
                about = each.get("description") or schema.get("description", "")
                yield f"| {name} | {each['in']} | {self._type(schema)} | {_cell(about)} |\n"
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            yield from self._body(media_type, content["schema"], operation["requestBody"])
        yield "\n"
        yield from self._answers(operation)

    def _body(self, media_type: str, schema: Json, body: Json) -> Iterator[str]:
        optional = "" if body.get("required") else ", optional"
        yield f"\nBody (`{media_type}`{optional}):"
        for other in schema.get("anyOf", [])[1:]:
            yield f" {_cell(other.get('description', ''))} Or an object with:"
        schema = inlined(schema.get("anyOf", [schema])[0], self._schemas)
        yield "\n\n| field | type | meaning |\n|---|---|---|\n"
        yield from self._rows(schema)
        if more := schema.get("additionalProperties"):
            yield f"| any other | {self._type(more)} | {_cell(more.get('description', ''))} |\n"

    def _rows(self, schema: Json, before: str = "") -> Iterator[str]:
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            label = _name(f"{before}{name}", name in required)
            yield f"| {label} | {self._type(field)} | {_cell(field.get('description', ''))} |\n"
            for part in [field, *field.get("anyOf", ())]:
                if "properties" in part:  # an object that stands here itself
                    yield from self._rows(part, f"{before}{name}.")

    def _answers(self, operation: Json) -> Iterator[str]:
        for status, answer in sorted(operation["responses"].items()):
            if status < "4":
                about = answer["description"].replace("Successful Response", "")
                types = [
                    self._type(content["schema"])
                    if "$ref" in content.get("schema", {}) or "anyOf" in content.get("schema", {})
                    else f"`{media_type}`"
                    for media_type, content in answer.get("content", {}).items()
                ]
                text = ", ".join(types) or "no body"
                yield f"- {status}: {text}{f'. {about}' if about else ''}\n"
        own = [
            f"{status} {', '.join(f'`{code}`' for code in found)}".rstrip()
            for status, found in error_codes(operation).items()
        ]
        yield f"- Errors: {'; '.join(own) or 'none of its own'}.\n"

    def _object(self, name: str) -> Iterator[str]:
        schema = self._schemas[name]
        yield f"\n### `{self._names[name]}`\n"
        if about := schema.get("description"):
            yield f"\n{about}\n"
        yield "\n| field | type | meaning |\n|---|---|---|\n"
        yield from self._rows(schema)

    def _type(self, schema: Json) -> str:
        """What a value is, in a few words, with limits and the default."""
        text = self._plain_type(schema)
        default = schema.get("default")
        if default in (None, "", {}, []) and default is not False:
            return text
        shown = str(default).lower() if isinstance(default, bool) else default
        return f"{text}; default `{shown}`"

    def _plain_type(self, schema: Json) -> str:
        if "$ref" in schema:
            return self._of_component(_ref(schema))
        if kinds := schema.get("anyOf"):
            return " or ".join(dict.fromkeys(self._plain_type(kind) for kind in kinds))
        if "const" in schema or "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        if schema.get("contentMediaType") == "application/octet-stream":
            return "file"
        return self._of_json_type(schema)

    def _of_json_type(self, schema: Json) -> str:
        match schema.get("type"):
            case "array":
                return f"list of {self._plain_type(schema['items'])}{_limits(schema)}"
            case "object" if isinstance(more := schema.get("additionalProperties"), dict):
                return f"map of {self._plain_type(more)}"
            case "string" if schema.get("format") == "binary":
                return "file"
            case None:
                return "any value"
            case kind:
                return f"{kind}{_limits(schema)}"

    def _of_component(self, name: str) -> str:
        if "properties" not in self._schemas[name]:
            return self._plain_type(self._schemas[name])
        if name not in self._linked:
            self._linked.append(name)
        return f"[{self._names[name]}](#{anchor(self._names[name])})"


def codes() -> Iterator[str]:
    """The section of all error codes."""
    yield (
        "\n## Error codes\n\nThe `code` of a problem, and its `title`. Under `/api/v2` errors have"
        " [words of their own](comfy-api-v2.md#errors). Two more have no class of their own: 400"
        " `bad_request` (a form that cannot be read) and 405 `method_not_allowed`.\n"
        "\n| code | status | title |\n|---|---|---|\n"
    )
    rows: dict[tuple[str, int], str] = {}
    for error in every_error():
        rows.setdefault((error.code, error.status), error.title())
    for (code, status), title in sorted(rows.items(), key=lambda row: (row[0][1], row[0][0])):
        yield f"| `{code}` | {status} | {_cell(title)} |\n"


def every_error(base: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """The error and all that are below it, of the application."""
    if base.__module__.startswith("app."):
        yield base
    for error in base.__subclasses__():
        yield from every_error(error)


def _ref(schema: Json) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _name(name: str, required: bool) -> str:
    return f"**`{name}`**" if required else f"`{name}`"


def _cell(text: str) -> str:
    """A text as a cell of a table: in one line, and nothing in it is HTML."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.replace("|", "\\|").split()))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def _limits(schema: Json) -> str:
    least = schema.get("minimum", schema.get("minItems"))
    most = schema.get("maximum", schema.get("maxItems"))
    over = schema.get("exclusiveMinimum")
    parts = []
    if over is not None:
        parts.append(f"above {over:g}")
    if least is not None and most is not None:
        parts.append(f"{least:g} to {most:g}")
    elif least is not None:
        parts.append(f"{least:g} or more")
    elif most is not None:
        parts.append(f"{most:g} at most")
    if (longest := schema.get("maxLength")) is not None:
        parts.append(f"{longest} characters at most")
    return f" ({', '.join(parts)})" if parts else ""
