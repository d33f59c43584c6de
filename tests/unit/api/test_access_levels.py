"""A route declares its access level; one without any is named."""

import pytest
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.api.access_levels import access_levels, names, requires
from app.auth.model import AccessLevel


@requires(AccessLevel.READ)
async def look() -> None: ...


@requires(AccessLevel.RUN)
async def socket(websocket: WebSocket) -> None: ...


async def forgotten() -> None: ...


def test_routes_sockets_and_mounts_declare_it() -> None:
    folder = requires(AccessLevel.OPEN)(Response())
    routes = [Route("/a/{b}", look), WebSocketRoute("/ws", socket), Mount("/files", folder)]
    assert access_levels(routes) == {
        "GET /a/{b}": AccessLevel.READ,
        "HEAD /a/{b}": AccessLevel.READ,
        "WS /ws": AccessLevel.RUN,
        "GET /files": AccessLevel.OPEN,
        "HEAD /files": AccessLevel.OPEN,
    }
    assert names(routes) == list(access_levels(routes))


@pytest.mark.parametrize(
    "route", [Route("/x", forgotten), WebSocketRoute("/x", forgotten), Mount("/x", Response())]
)
def test_one_without_is_named(route: BaseRoute) -> None:
    with pytest.raises(LookupError, match="/x has no access level"):
        access_levels([route])
