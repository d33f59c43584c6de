"""Bodies of routes are read strictly; all routes of the gateway are such."""

import pytest
from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Message
from typing_extensions import TypedDict

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


class Counted(TypedDict):
    """What an answer is said to be."""

    count: int


def show(app: FastAPI, router: APIRouter) -> None:
    """As app/main.py adds routes, and app/api/openapi.py asks for their answers."""
    app.router.routes.extend(router.routes)
    for route in router.routes:
        assert isinstance(route, StrictRoute)
        route.show_answer()


def test_an_answer_is_shown_beside_a_response_and_with_its_description() -> None:
    app = FastAPI()
    router = APIRouter(route_class=StrictRoute)

    @router.get("/either", responses={200: {"description": "Counted again."}})
    async def either() -> Counted | Response: ...

    show(app, router)
    shown = app.openapi()["paths"]["/either"]["get"]["responses"]["200"]
    assert shown["description"] == "Counted again."
    assert shown["content"]["application/json"]["schema"]["$ref"].endswith("/Counted")


async def test_an_answer_is_shown_in_openapi_and_sent_as_it_is() -> None:
    app = FastAPI()
    router = APIRouter(route_class=StrictRoute)

    @router.post("/counted", status_code=201)
    async def counted() -> Counted:
        return {"count": "not checked"}  # type: ignore[typeddict-item]

    show(app, router)
    shown = app.openapi()["paths"]["/counted"]["post"]["responses"]["201"]["content"]
    assert shown["application/json"]["schema"]["$ref"] == "#/components/schemas/Counted"
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/counted", "headers": []}
    await app({**scope, "query_string": b"", "raw_path": b"/counted"}, receive, send)
    assert (sent[0]["status"], sent[1]["body"]) == (201, b'{"count":"not checked"}')
