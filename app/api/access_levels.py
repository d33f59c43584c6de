"""Access levels of routes, declared on endpoints and mounted apps."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from app.auth.model import AccessLevel

T = TypeVar("T", bound=Callable[..., object])
_ATTRIBUTE = "access_level"


def requires(level: AccessLevel) -> Callable[[T], T]:
    """Declare the access level that an API key needs to call an endpoint or a mounted app.

    OPEN: liveness, and content that is the same for every installation. READ: reading, and
    computations without stored results. RUN: creating tasks and files, and changing one's own.
    MANAGE: changing what all keys share, such as servers and saved workflows, which others run by
    name.
    """

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, level)
        return endpoint

    return declare


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one route; `method` is "WS" for a WebSocket."""

    method: str
    path: str
    pattern: re.Pattern[str]
    answered_by: object

    @property
    def name(self) -> str:
        """The name, such as "GET /api/tasks"."""
        return f"{self.method} {self.path}"

    @property
    def level(self) -> AccessLevel:
        """The declared level. Raises LookupError if there is none."""
        level = getattr(self.answered_by, _ATTRIBUTE, None)
        if not isinstance(level, AccessLevel):
            raise LookupError(
                f"{self.name} has no access level: write @requires(AccessLevel...) at its endpoint."
            )
        return level


def endpoints_of(routes: Iterable[BaseRoute]) -> Iterator[Endpoint]:
    """Yield every method of every route, in order; a mounted folder is read only."""
    for route in routes:
        match route:
            case Route():
                for method in sorted(route.methods or ()):
                    yield Endpoint(method, route.path, route.path_regex, route.endpoint)
            case WebSocketRoute():
                yield Endpoint("WS", route.path, route.path_regex, route.endpoint)
            case Mount():
                for method in ("GET", "HEAD"):
                    yield Endpoint(method, route.path, route.path_regex, route.app)


def access_levels(routes: Iterable[BaseRoute]) -> dict[str, AccessLevel]:
    """Return the level of each route by name. Raises LookupError for a route without one."""
    return {each.name: each.level for each in endpoints_of(routes)}


def names(routes: Iterable[BaseRoute]) -> list[str]:
    """Return the names of the routes, such as "GET /api/tasks"."""
    return [each.name for each in endpoints_of(routes)]
