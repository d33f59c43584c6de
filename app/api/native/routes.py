"""All routes of ComfyUI's own protocol, at their paths below /comfy."""

from starlette.routing import BaseRoute

from app.api.native import server

ROUTES: list[BaseRoute] = [*server.ROUTES]
