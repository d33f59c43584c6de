"""What scripts of other origins may ask and read (CORS)."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.native.doors import door_of, is_below_token


class CrossOrigin:
    """ASGI middleware: the origins of the settings, and any below a token for paths.

    Never with credentials: there are no cookies, and keys are in headers.
    """

    def __init__(
        self, app: ASGIApp, origins: Sequence[str], exposed: Sequence[str], *, keys_in_use: bool
    ) -> None:
        self._app = _allowing(app, origins, exposed) if origins else app
        self._below_token = _allowing(app, ["*"], exposed)
        self._keys_in_use = keys_in_use

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = is_below_token(door_of(scope), keys_in_use=self._keys_in_use)
        await (self._below_token if is_open else self._app)(scope, receive, send)


def _allowing(app: ASGIApp, origins: Sequence[str], exposed: Sequence[str]) -> ASGIApp:
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=exposed,
    )
