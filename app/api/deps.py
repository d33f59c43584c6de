"""Dependencies of REST and WebSocket routes.

All of them are coroutines, as FastAPI runs plain functions in threads.
"""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from app.gateway import Gateway
from app.workflows.references.ids import as_stored
from app.workflows.references.results import OwnAddress


def gateway_of(connection: HTTPConnection) -> Gateway:
    """Return the gateway as the caller sees it."""
    gateway: Gateway = connection.scope["state"]["gateway"]
    return gateway


def base_path_of(connection: HTTPConnection) -> str:
    """Return the path below which the client reaches the gateway: "", or like "/comfy"."""
    return gateway_of(connection).base_path


def own_address(connection: HTTPConnection) -> OwnAddress:
    """Return where the client reaches the gateway."""
    host = connection.headers.get("host", "").lower() or None
    return OwnAddress(host, base_path_of(connection))


async def _gateway(connection: HTTPConnection) -> Gateway:
    return gateway_of(connection)


Id = Annotated[str, AfterValidator(as_stored)]  # of a task, batch or asset
GatewayDep = Annotated[Gateway, Depends(_gateway)]
ServerQuery = Annotated[
    str | None, Query(description="Only this server, by its id (HOST:PORT).", max_length=200)
]
