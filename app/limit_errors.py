"""Errors of connections and requests that are too much or too late, keys among it: more of the tree
in errors.py."""

from app.errors import GatewayError, InvalidRequest


class HeadTooLarge(InvalidRequest):
    """The URL and the headers are too large."""

    status = 431
    code = "headers_too_large"


class RequestTimeout(InvalidRequest):
    """The request did not come in time."""

    status = 408
    code = "request_timeout"


class TooManyConnections(GatewayError):
    """There are too many connections."""

    status = 503
    code = "too_many_connections"


class TooManyBodies(GatewayError):
    """Too many large bodies are being worked on."""

    status = 503
    code = "too_many_bodies"


class Stopping(GatewayError):
    """The gateway is stopping."""

    status = 503
    code = "stopping"


class ApiKeyGone(GatewayError):
    """The API key that the task came with is gone."""

    status = 422
    code = "api_key_gone"
