"""Installation of all middleware, in its order."""

from collections.abc import Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute

from app.api.middleware.auth import AuthMiddleware, TrustedOrigins
from app.api.middleware.base_path import WithoutBasePath
from app.api.middleware.body_limits import RequestLimits
from app.api.middleware.cross_origin import CrossOrigin
from app.api.middleware.fair_turns import FairTurns
from app.api.middleware.native_doors import NativeDoors
from app.api.middleware.request_log import REQUEST_ID, RequestLog
from app.api.middleware.scopes import Rules
from app.api.middleware.security_headers import SecurityHeaders
from app.api.v2_errors import V2_REQUEST_ID
from app.auth.native_ports import parse_all
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
    keys_in_use = bool(settings.api_keys.get_secret_value().strip())
    ports = parse_all(settings.native_ports)
    trusted_origins = TrustedOrigins(
        None if keys_in_use else _hosts(settings, settings.host),
        settings.cors_origins,
        keys_in_use=keys_in_use,
        port_hosts={each.port: _hosts(settings, each.host) for each in ports},
    )
    app.add_middleware(AuthMiddleware, rules=Rules(routes), trusted_origins=trusted_origins)
    app.add_middleware(
        CrossOrigin, origins=settings.cors_origins, exposed=EXPOSED, keys_in_use=keys_in_use
    )
    app.add_middleware(
        SecurityHeaders, keys_in_use=keys_in_use, open_to_pages="*" in settings.cors_origins
    )
    app.add_middleware(FairTurns)  # within the log, whose times include the wait
    app.add_middleware(RequestLog, routes=routes)
    app.add_middleware(NativeDoors, ports={each.port: each.key_name for each in ports})
    if settings.root_path:  # outside of all that looks at the path
        app.add_middleware(WithoutBasePath, base_path=settings.root_path)


def _hosts(settings: Settings, listening_on: str) -> list[str] | None:
    """Return the accepted host names besides localhost; None for any.

    They are not asked for where a key is needed: a page that resolves its own name to the gateway
    has none. Without, a gateway that others can reach does not know its names, unless they are
    configured.
    """
    is_known = settings.allowed_hosts or is_loopback(listening_on)
    return settings.allowed_hosts if is_known else None
