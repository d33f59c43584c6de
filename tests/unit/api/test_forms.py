"""Forms of routes."""

import httpx
from fastapi import APIRouter, FastAPI, Request, Response, UploadFile
from starlette.types import Receive, Scope, Send

from app.api.forms import parsed_form
from app.api.strict_route import StrictRoute
from app.limits.worker_threads import Workers


async def test_files_of_a_form_are_closed_after_the_answer() -> None:
    files: list[UploadFile] = []
    router = APIRouter(route_class=StrictRoute)

    @router.post("/form")
    async def form(request: Request) -> Response:
        found = (await parsed_form(request))["file"]
        assert not isinstance(found, str)
        files.append(found)  # type: ignore[arg-type]
        assert not found.file.closed
        return Response()

    app = FastAPI()
    app.router.routes.extend(router.routes)

    class Stub:
        workers = Workers()

        class settings:
            max_body_bytes = 1000

    async def with_gateway(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"gateway": Stub()}}, receive, send)

    transport = httpx.ASGITransport(with_gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        found = await client.post("/form", files={"file": b"content"})
    assert found.status_code == 200
    assert files[0].file.closed
