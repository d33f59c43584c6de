"""Installation of all middleware, in its order."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from app.api.middleware.auth import AuthMiddleware, TrustedOrigins
from app.api.middleware.base_path import WithoutBasePath
from app.api.middleware.body_limits import RequestLimits
from app.api.middleware.fair_turns import FairTurns
from app.api.middleware.native_doors import NativeDoors
from app.api.middleware.request_log import REQUEST_ID, RequestLog
from app.api.middleware.scopes import Rules
from app.api.middleware.security_headers import SecurityHeaders
from app.api.v2_errors import V2_REQUEST_ID
from app.auth.origins import is_loopback
from app.settings import Settings

MULTIPART_ROOM = 1 << 20  # bytes for multipart framing around a file of maximum size
# Headers that scripts of other origins may read, in addition to the default ones.
EXPOSED = (
    *("ETag", "Location", "Retry-After", "Content-Disposition", "Content-Range"),
    *(REQUEST_ID, V2_REQUEST_ID, "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
)


def guard(app: FastAPI, settings: Settings, routes: Sequence[BaseRoute]) -> None:
    """Add the middleware, innermost first. Raises LookupError if a route has no access level."""
    largest = max(settings.max_upload_bytes, settings.max_body_bytes) + MULTIPART_ROOM
    app.add_middleware(RequestLimits, max_bytes=largest)
    trusted_origins = TrustedOrigins(_hosts(settings), settings.cors_origins)
    app.add_middleware(AuthMiddleware, rules=Rules(routes), trusted_origins=trusted_origins)
    # Never with credentials: there are no cookies, and keys are in headers
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(
        SecurityHeaders,
        keys_in_use=bool(settings.api_keys.get_secret_value().strip()),
        open_to_pages="*" in settings.cors_origins,
    )
    app.add_middleware(FairTurns)  # within the log, whose times include the wait
    app.add_middleware(RequestLog)
    app.add_middleware(NativeDoors, ports={})
    if settings.root_path:  # outside of all that looks at the path
        app.add_middleware(WithoutBasePath, base_path=settings.root_path)


def _hosts(settings: Settings) -> list[str] | None:
    """Return the accepted host names besides localhost; None for any.

    With keys any name is accepted: a page that resolves its own name to the gateway has no key.
    Without keys, a gateway that others can reach does not know its names, unless they are
    configured.
    """
    if settings.api_keys.get_secret_value():
        return None
    return settings.allowed_hosts if settings.allowed_hosts or is_loopback(settings.host) else None
