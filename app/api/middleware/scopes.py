"""The scope that each route needs. A route that is not in the table does not start."""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import Scope as Connection

from app.api.v2_errors import path_of
from app.auth.model import AccessLevel

# Open: what tells that we live, and what is the same for everybody who has a copy of us.
_OPEN = """
    GET /api/health  GET /api/ready  GET /api/v2/health
    GET /  GET /static  GET /openapi.json  GET /docs  GET /docs/oauth2-redirect  GET /redoc
"""
# Looking, and computing what is kept nowhere.
_READ = """
    GET /metrics  GET /api/system/info  GET /api/nodes  GET /api/models  GET /api/models/{folder}
    GET /api/models/{folder}/metadata  GET /api/embeddings  GET /api/features
    GET /api/servers  GET /api/servers/{server_id:path}
    POST /api/workflow/parameters  POST /api/workflow/convert
    GET /api/workflows  GET /api/workflow/{filename}  GET /api/workflow/{filename}/openapi.json
    GET /api/workflow/{filename}/versions  GET /api/workflow/{filename}/versions/{version}
    GET /api/task/{task_id}  GET /api/task/{task_id}/workflow  GET /api/tasks
    GET /api/task/{task_id}/events  GET /api/task/{task_id}/outputs.zip  WS /ws
    GET /api/task/{task_id}/deliveries  GET /api/deliveries
    GET /api/batch/{batch_id}  GET /api/queue  GET /api/history
    GET /api/image/{filename}  HEAD /api/image/{filename}
    GET /api/v2/jobs  GET /api/v2/jobs/{id}  GET /api/v2/jobs/{id}/workflow
    GET /api/v2/jobs/{id}/events  GET /api/v2/assets/{id}
    GET /api/v2/assets/{id}/content  HEAD /api/v2/assets/{id}/content
    HEAD /api/v2/assets/by-hash/{hash}
"""
# Making tasks and files, and what may be done to one's own.
_RUN = """
    POST /api/workflow/submit  POST /api/workflow/{filename}/run
    POST /api/task/{task_id}/cancel  POST /api/interrupt/{prompt_id}
    POST /api/task/{task_id}/retry  DELETE /api/task/{task_id}
    POST /api/batch/{batch_id}/cancel  POST /api/queue/clear  POST /api/history/delete
    POST /api/deliveries/{delivery_id}/replay
    POST /api/image/upload  POST /api/image/upload/mask
    POST /api/v2/jobs  POST /api/v2/jobs/{id}/cancel
    POST /api/v2/assets  POST /api/v2/assets/from-hash  DELETE /api/v2/assets/{id}
"""
# Changing what everybody shares: servers, and the saved workflows that others run by name.
_MANAGE = """
    POST /api/servers  PATCH /api/servers/{server_id:path}  DELETE /api/servers/{server_id:path}
    POST /api/servers/{server_id:path}/drain  POST /api/servers/{server_id:path}/resume
    POST /api/system/free
    POST /api/workflow/upload  POST /api/workflow/update  DELETE /api/workflow/{filename}
    POST /api/workflow/{filename}/restore
"""
_TABLES = {
    AccessLevel.OPEN: _OPEN,
    AccessLevel.READ: _READ,
    AccessLevel.RUN: _RUN,
    AccessLevel.MANAGE: _MANAGE,
}
NEEDED: dict[str, AccessLevel] = {
    f"{method} {path}": scope
    for scope, table in _TABLES.items()
    for method, path in re.findall(r"([A-Z]+) (/\S*)", table)
}


class Rules:
    """The rules of these routes, in their order. `opened`: those that the operator lets everybody
    ask. Raises LookupError for a route without a rule."""

    def __init__(self, routes: Iterable[BaseRoute], opened: Collection[str] = ()) -> None:
        self._rules = [
            (method, pattern, AccessLevel.OPEN if name in opened else _needed(name))
            for route in routes
            for method, path, pattern in _ways(route)
            for name in [f"{method} {path}"]
        ]

    def needed(self, connection: Connection) -> AccessLevel:
        """What a request needs. What leads to no route needs nothing: it is a 404 or 405."""
        path = path_of(connection)
        method = connection.get("method", "WS")
        for allowed, pattern, scope in self._rules:
            if allowed == method and pattern.match(path):
                return scope
        return AccessLevel.OPEN


def _needed(name: str) -> AccessLevel:
    known = NEEDED.get("GET" + name.removeprefix("HEAD")) if name.startswith("HEAD") else None
    found = NEEDED.get(name, known)
    if found is None:
        raise LookupError(
            f"{name} has no rule: say in app/api/middleware/scopes.py which scope it needs."
        )
    return found


def _ways(route: BaseRoute) -> Iterator[tuple[str, str, re.Pattern[str]]]:
    """(method, path, pattern) of a route. A folder of files is read only."""
    match route:
        case Route():
            for method in sorted(route.methods or ()):
                yield method, route.path, route.path_regex
        case WebSocketRoute():
            yield "WS", route.path, route.path_regex
        case Mount():
            for method in ("GET", "HEAD"):
                yield method, route.path, route.path_regex


def names(routes: Iterable[Any]) -> list[str]:
    """ "GET /api/tasks" of each, for tests of all of them."""
    return [f"{method} {path}" for route in routes for method, path, _ in _ways(route)]
