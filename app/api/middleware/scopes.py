"""Determines the access level that a request needs, by the routes of the application."""

from collections.abc import Iterable

from starlette.routing import BaseRoute
from starlette.types import Scope as Connection

from app.api.access_levels import endpoints_of
from app.api.v2_errors import path_of
from app.auth.model import AccessLevel


class Rules:
    """The access levels of routes, in matching order.

    Raises LookupError for a route without a level.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._rules = [(each.method, each.pattern, each.level) for each in endpoints_of(routes)]

    def needed(self, connection: Connection) -> AccessLevel:
        """Return the required level; OPEN if no route matches, which leads to 404 or 405."""
        path = path_of(connection)
        method = connection.get("method", "WS")
        for allowed, pattern, level in self._rules:
            if allowed == method and pattern.match(path):
                return level
        return AccessLevel.OPEN
