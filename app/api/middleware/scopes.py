"""Determines the access level that a request needs, by the routes of the application."""

from collections import defaultdict
from collections.abc import Iterable
from re import Pattern

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
        self._patterns = defaultdict[str, list[tuple[Pattern[str], AccessLevel]]](list)
        self._plain: dict[tuple[str, str], AccessLevel] = {}  # by method and path
        for each in endpoints_of(routes):
            self._patterns[each.method].append((each.pattern, each.level))
        for each in endpoints_of(routes):
            if "{" not in each.path:
                self._plain[each.method, each.path] = self._of(each.method, each.path)

    def needed(self, connection: Connection) -> AccessLevel:
        """Return the required level; OPEN if no route matches, which leads to 404 or 405."""
        path = path_of(connection)
        method = connection.get("method", "WS")
        level = self._plain.get((method, path))
        return self._of(method, path) if level is None else level

    def _of(self, method: str, path: str) -> AccessLevel:
        for pattern, level in self._patterns.get(method, ()):
            if pattern.match(path):
                return level
        return AccessLevel.OPEN
