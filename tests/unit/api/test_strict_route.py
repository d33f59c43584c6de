"""Bodies of routes are read strictly; all routes of the gateway are such."""

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.api.strict_route import StrictRoute
from app.main import ROUTERS


class Lenient(BaseModel):
    name: str


def test_every_route_of_the_routers_is_strict() -> None:
    routes = [each for router in ROUTERS for each in router.routes if isinstance(each, APIRoute)]
    assert len(routes) > 50
    assert [route.path for route in routes if not isinstance(route, StrictRoute)] == []


def test_a_model_that_takes_unknown_fields_is_refused() -> None:
    router = APIRouter(route_class=StrictRoute)
    with pytest.raises(TypeError, match="/lenient"):

        @router.post("/lenient")
        async def lenient(body: Lenient) -> None: ...
