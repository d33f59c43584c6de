"""The level that a request needs is that of the first route that matches, however it is found."""

import pytest
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.middleware.scopes import Rules
from app.auth.model import AccessLevel


def route(path: str, level: AccessLevel, method: str = "GET") -> Route:
    @requires(level)
    async def endpoint() -> None: ...

    return Route(path, endpoint, methods=[method])


RULES = Rules(
    [
        route("/a/plain", AccessLevel.READ),
        route("/a/{name}", AccessLevel.RUN),
        route("/a/behind", AccessLevel.OPEN),
        route("/a/plain", AccessLevel.MANAGE, "POST"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "level"),
    [
        ("GET", "/a/plain", AccessLevel.READ),
        ("HEAD", "/a/plain", AccessLevel.READ),
        ("POST", "/a/plain", AccessLevel.MANAGE),
        ("GET", "/a/b", AccessLevel.RUN),
        ("GET", "/a/behind", AccessLevel.RUN),
        ("GET", "/a/{name}", AccessLevel.RUN),
        ("GET", "/none", AccessLevel.OPEN),
        ("WS", "/a/plain", AccessLevel.OPEN),
    ],
)
def test_first_match_decides(method: str, path: str, level: AccessLevel) -> None:
    assert RULES.needed({"type": "http", "method": method, "path": path}) is level
