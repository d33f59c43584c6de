"""ASGI middleware for authentication and authorization of all requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware import websocket_auth
from app.api.middleware.base_path import base_path_told_to, with_location_below
from app.api.middleware.credentials import key_text
from app.api.middleware.heads import header
from app.api.middleware.revocation import serve_until_revoked
from app.api.middleware.scopes import Rules
from app.api.native.doors import door_of, is_below_token
from app.api.problems import refusal
from app.auth.authenticator import Access
from app.auth.model import AccessKey, Caller
from app.auth.origins import SAFE_METHODS, check_host, check_origin
from app.auth.rate_limits import Allowance
from app.errors import GatewayError
from app.gateway import Gateway
from app.limits.worker_threads import working_for
from app.outbound.addresses import site_of


@dataclass(frozen=True, slots=True)
class TrustedOrigins:
    """The allowed origins of requests; `hosts` are the gateway's names, None for any.

    `port_hosts`: the same for ports of ComfyUI's own protocol, by port.
    """

    hosts: Sequence[str] | None
    origins: Sequence[str]
    keys_in_use: bool
    port_hosts: Mapping[int, Sequence[str] | None]

    def check(self, scope: Scope) -> None:
        """Check the headers. Raises HostNotAllowed and OriginNotAllowed."""
        door = door_of(scope)
        if door is None or door.kind != "port":
            if not is_below_token(door, keys_in_use=self.keys_in_use):
                self._check(scope, self.hosts, self.origins, scope.get("method", "WEBSOCKET"))
            return
        # Whoever reaches the port needs no key, a page in somebody's browser as well: none of
        # another origin may even read, unless it is named.
        origins = [origin for origin in self.origins if origin != "*"]
        named = origins if self.keys_in_use else self.origins
        self._check(scope, self.port_hosts[scope["server"][1]], named, "WEBSOCKET")

    def _check(
        self, scope: Scope, hosts: Sequence[str] | None, origins: Sequence[str], method: str
    ) -> None:
        host = header(scope, b"host") or ""
        if hosts is not None:
            check_host(host, hosts, keys_help=not self.keys_in_use)
        if method in SAFE_METHODS:  # most requests: no further look at their headers
            return
        check_origin(
            method,
            host=host,
            origin=header(scope, b"origin"),
            fetch_site=header(scope, b"sec-fetch-site"),
            allowed=origins,
        )


class AuthMiddleware:
    def __init__(self, app: ASGIApp, rules: Rules, trusted_origins: TrustedOrigins) -> None:
        self._app = app
        self._rules = rules
        self._trusted_origins = trusted_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        access = _gateway(scope).access
        try:
            self._trusted_origins.check(scope)
            needed = self._rules.needed(scope)
            key = _key_of(scope, access) if access.in_use else None
            if scope["type"] == "websocket":
                send = websocket_auth.answering_protocol(scope, send)
            allowance = await access.count(key)
            caller = access.caller(key, needed)
        except GatewayError as error:
            await refusal(scope, error)(scope, receive, send)
            return
        await self._served(caller, key, scope, receive, _with_rate(send, allowance))

    async def _served(
        self, caller: Caller, key: AccessKey | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        gateway = _gateway(scope)
        base_path = gateway.base_path or base_path_told_to(scope)  # the setting's, if it is set
        if base_path != gateway.base_path or (
            caller is not gateway.caller and caller != gateway.caller
        ):
            scope["state"]["gateway"] = gateway.for_caller(caller, base_path)
        send = with_location_below(base_path, send)
        with working_for(_name_of(key, scope)):
            if key is None:
                await self._app(scope, receive, send)
            else:
                await serve_until_revoked(self._app, gateway.access, key, scope, receive, send)


def _key_of(scope: Scope, access: Access) -> AccessKey | None:
    """Return the key of a request; None without one. Raises Unauthorized for a wrong one."""
    door = door_of(scope)
    if door is None:
        return access.identify(key_text(scope))
    if door.kind == "port":
        return access.of_port(door.key_name)
    if door.token is not None:  # whatever the headers say, which the client may have from elsewhere
        return access.identify_native(door.token, in_path=True)
    return access.identify_native(key_text(scope, basic=True), in_path=False)


def _name_of(key: AccessKey | None, scope: Scope) -> str:
    """Return the name under which the work of a request is accounted."""
    if key:
        return f"key {key.name}"
    host, _ = scope.get("client") or ("", 0)
    return f"address {site_of(host)}"


def _gateway(scope: Scope) -> Gateway:
    found: Gateway = scope["state"]["gateway"]
    return found


def _with_rate(send: Send, allowance: Allowance | None) -> Send:
    """Add the RateLimit headers of the IETF draft, if the key has a rate."""
    if allowance is None:
        return send

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", ()),
                (b"ratelimit-limit", b"%d" % allowance.limit),
                (b"ratelimit-remaining", b"%d" % allowance.remaining),
                (b"ratelimit-reset", b"%d" % allowance.reset),
            ]
        await send(message)

    return telling
