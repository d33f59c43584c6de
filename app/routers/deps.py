"""What routes ask for, REST and WebSocket alike.

All dependencies are coroutines, however little they do: FastAPI runs others in threads.
"""

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from app.gateway import Gateway


async def _gateway(connection: HTTPConnection) -> Gateway:
    gateway: Gateway = connection.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(_gateway)]
ServerQuery = Annotated[
    str | None, Query(description="Only this server, by its id (HOST:PORT).", max_length=200)
]
