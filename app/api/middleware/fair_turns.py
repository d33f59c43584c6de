"""Requests take turns, so that they do not starve the work on tasks."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.limits.turns import Turns

PER_TURN = 1  # piece of web work per turn of the event loop; a turn itself costs about 5 µs


class FairTurns:
    """ASGI middleware that takes a piece of a turn for each request and each part of a body.

    Nobody is let in before others: the wait is bounded by the number of connections, so that
    health checks need no exception, which could be misused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = Turns(PER_TURN)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        turns = self._turns

        async def receiving() -> Message:
            message = await receive()
            if message.get("more_body") or message["type"] == "websocket.receive":
                await turns.take()
            return message

        async def sending(message: Message) -> None:
            if message.get("more_body"):
                await turns.take()
            await send(message)

        await turns.take()
        await self._app(scope, receiving, sending)
