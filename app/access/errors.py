"""Errors of access: more of the tree in app/errors.py.

GatewayError
├── Unauthorized              401  no key, or a wrong one
├── Forbidden                 403  the key does not allow it
│   ├── HostNotAllowed  OriginNotAllowed
├── RateLimited               429  Retry-After
│   └── QuotaExceeded         429
└── QueueFull
    └── KeyQueueFull          429  the key's part of the queue
"""

from app.errors import GatewayError, QueueFull


class Unauthorized(GatewayError):
    """An API key is needed."""

    status = 401
    code = "unauthorized"


class Forbidden(GatewayError):
    """The API key does not allow this."""

    status = 403
    code = "forbidden"


class HostNotAllowed(Forbidden):
    """The gateway is not known under this name."""

    code = "host_not_allowed"


class OriginNotAllowed(Forbidden):
    """Pages of this origin may not use the gateway."""

    code = "origin_not_allowed"


class RateLimited(GatewayError):
    """The API key was used too often."""

    status = 429
    code = "rate_limited"


class QuotaExceeded(RateLimited):
    """The API key has made as many tasks today as it may."""

    code = "quota_exceeded"


class KeyQueueFull(QueueFull):
    """The API key has as many tasks waiting as it may."""

    code = "key_queue_full"
