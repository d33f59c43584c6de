"""The access level of a route, declared on what answers it: an endpoint, or a mounted app."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from app.auth.model import AccessLevel

T = TypeVar("T", bound=Callable[..., object])
_ATTRIBUTE = "access_level"


def requires(level: AccessLevel) -> Callable[[T], T]:
    """Decorator of an endpoint or a mounted app: the level that an API key needs to call it.

    OPEN: what tells that the gateway lives, and what is the same for everybody who has a copy of
    it. READ: looking, and computing what is kept nowhere. RUN: making tasks and files, and what may
    be done to one's own. MANAGE: changing what everybody shares, such as servers and the saved
    workflows that others run by name.
    """

    def declare(endpoint: T) -> T:
        setattr(endpoint, _ATTRIBUTE, level)
        return endpoint

    return declare


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one route. `method`: "WS" for a WebSocket."""

    method: str
    path: str
    pattern: re.Pattern[str]
    answered_by: object

    @property
    def name(self) -> str:
        """Such as "GET /api/tasks"."""
        return f"{self.method} {self.path}"

    @property
    def level(self) -> AccessLevel:
        """Raises LookupError if none is declared."""
        level = getattr(self.answered_by, _ATTRIBUTE, None)
        if not isinstance(level, AccessLevel):
            raise LookupError(
                f"{self.name} has no access level: write @requires(AccessLevel...) at its endpoint."
            )
        return level


def endpoints_of(routes: Iterable[BaseRoute]) -> Iterator[Endpoint]:
    """Every method of every route, in order. A mounted folder of files is read only."""
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
    """The level of each route by its name. Raises LookupError for a route without one."""
    return {each.name: each.level for each in endpoints_of(routes)}


def names(routes: Iterable[BaseRoute]) -> list[str]:
    """ "GET /api/tasks" of each."""
    return [each.name for each in endpoints_of(routes)]
