"""A plain request is answered as FastAPI would answer it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.requests import Request
from typing_extensions import TypedDict

from app.api.plain_requests import plainly
from app.api.routers import image, task
from app.api.strict_route import StrictRoute
from app.limits.json_types import Json

GATEWAY = object()
UPPER = "F01E256E-9AD7-4DA9-85C6-07EA4A45FEEB"


class Said(TypedDict):
    """What an answer is said to be."""

    count: float


async def answer_of(path: str, endpoint: Callable[..., Any], url: str, **more: Any) -> Any:
    app = FastAPI()
    app.router.routes.append(StrictRoute(path, endpoint))

    async def with_gateway(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"gateway": GATEWAY}, **more}, receive, send)

    transport = httpx.ASGITransport(with_gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        return await client.get(url)


async def given_to(
    endpoint: Callable[..., Any], path: str, url: str, *, plain: bool
) -> Json | None:
    """Return what the endpoint is called with, without what it need not be given; None if it is
    not called."""
    calls: list[Json] = []

    @wraps(endpoint)
    async def recorded(**arguments: Any) -> Response:
        calls.append({name: value for name, value in arguments.items() if name != "request"})
        return Response()

    if not plain:
        del recorded.__dict__["plainly"]
    answer = await answer_of(path, recorded, url)
    assert (answer.status_code == 200) == bool(calls)
    if not calls:
        return None
    return {name: value for name, value in calls[0].items() if value not in (None, 85)}


@pytest.mark.parametrize(
    ("endpoint", "path", "url"),
    [
        (task.get_task, "/task/{task_id}", f"/task/{UPPER}"),
        (task.get_task, "/task/{task_id}", "/task/No%20id%F0%9F%8D%8B?x=1"),
        *(
            (image.get_image, "/image/{filename}", f"/image/a%20b%C3%A9.png{query}")
            for query in (
                "",
                f"?task_id={UPPER}",
                "?task_id=",
                "?task_id=a&task_id=B",
                "?task_id=a&subfolder=",
                "?task_id=a&subfolder=x%2Fy+z",
                f"?task_id=a&subfolder={'x' * 500}",
                f"?task_id=a&subfolder={'x' * 501}",
                f"?task_id={'x' * 100}",
                f"?task_id={'x' * 101}",
                "?task_id=a&type=temp",
                "?task_id=a&type=input",
                "?task_id=a&type=",
                "?task_id=a&type=nonsense",
                "?task_id=a&width=5",
                "?task_id=a&width=no",
                "?task_id=a&other=1",
                "?subfolder=a",
                "?task_id=%FF%ED%A0%80",
            )
        ),
    ],
)
async def test_plain_requests_have_the_arguments_that_fastapi_finds(
    endpoint: Callable[..., Any], path: str, url: str
) -> None:
    plain = await given_to(endpoint, path, url, plain=True)
    assert plain == await given_to(endpoint, path, url, plain=False)


def test_polls_and_the_urls_of_results_are_plain() -> None:
    def read(endpoint: Any, query: bytes, **names: str) -> Any:
        scope = {"type": "http", "query_string": query, "path_params": names, "headers": []}
        return endpoint.plainly(Request({**scope, "state": {"gateway": GATEWAY}}))

    assert read(task.get_task, b"", task_id="a") is not None
    assert read(image.get_image, b"task_id=a&subfolder=b&type=temp", filename="c") is not None
    assert read(image.get_image, b"task_id=a&width=5", filename="c") is None


@pytest.mark.parametrize("value", [1.0, float("inf"), "é\u2028"])
async def test_an_answer_is_the_same_to_the_byte(value: Any) -> None:
    async def said() -> Said:
        return {"count": value}

    through_fastapi = await answer_of("/", said, "/")
    plain = await answer_of("/", plainly(lambda _: {})(said), "/")
    assert plain.content == through_fastapi.content
    assert plain.headers == through_fastapi.headers


async def test_what_is_traced_goes_through_fastapi() -> None:
    async def said() -> Said:
        return {"count": 1}

    def unread(_: Request) -> Json:
        raise AssertionError("it was read")

    telemetry: Any = {"fastapi.telemetry": None}
    answer = await answer_of("/", plainly(unread)(said), "/", **telemetry)
    assert answer.json() == {"count": 1}
