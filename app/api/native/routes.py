"""All routes of ComfyUI's own protocol, at their paths below /comfy."""

from starlette.routing import BaseRoute

from app.api.native import files, history, jobs, nodes, prompts, queue, server, socket
from app.api.native.unknown import rest_of

ROUTES: list[BaseRoute] = [
    *prompts.ROUTES,
    *queue.ROUTES,
    *history.ROUTES,
    *files.ROUTES,
    *jobs.ROUTES,
    *nodes.ROUTES,
    *server.ROUTES,
    *socket.ROUTES,
]
ROUTES.append(rest_of(ROUTES))  # the last one
