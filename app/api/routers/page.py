"""The gateway's page, and the two of the API's documentation, which read /openapi.json."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import base_path_of
from app.api.etags import etag, is_known
from app.api.openapi import openapi_document
from app.auth.model import AccessLevel
from app.settings import VERSION

_FOLDER = Path(__file__).parents[1] / "templates"
_TEMPLATES = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True)


def _showing(template: str) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that renders the template.

    `base` is the path below which the gateway is, "" or such as "/comfy"; addresses in the template
    begin with it. Browsers revalidate the page each time, as they do its files.
    """

    @requires(AccessLevel.OPEN)
    async def page(request: Request) -> Response:
        about = {"base": base_path_of(request), "version": VERSION}
        html = _TEMPLATES.get_template(template).render(about)
        version = hashlib.sha256(html.encode()).hexdigest()[:16]
        headers = {"Cache-Control": "no-cache", "ETag": etag(version)}
        if is_known(version, request.headers.get("if-none-match")):
            return Response(status_code=304, headers=headers)
        return HTMLResponse(html, headers=headers)

    return page


PAGE = [Route("/", _showing("page.html"))]
DOCS = [
    Route("/openapi.json", openapi_document),
    Route("/docs", _showing("swagger.html")),
    Route("/redoc", _showing("redoc.html")),
]
