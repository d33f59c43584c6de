"""A webhook: its URL and events. Pure."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import TypedDict

from app.outbound.addresses import site_of

STARTED = "task.started"


FINALS = ("task.succeeded", "task.failed", "task.canceled")


EVENTS = (STARTED, *FINALS)


# Scope of the gateway's own webhook, whose URL and secret stay in the settings
EVERYWHERE = "everywhere"


OPERATOR = "*"  # the lane of deliveries to the operator; "*NAME" for tasks of an API key


TOKEN = 16  # minimum characters


TASK = "task"


class WebhookJson(TypedDict):
    url: Annotated[
        str,
        Field(
            description="Without credentials, and *** for what may be secret in its path and query."
        ),
    ]
    events: list[str]


@dataclass(frozen=True, slots=True)
class Webhook:
    """The URL and the events of a webhook; `secret` is "whsec_<base64>"."""

    url: str = field(repr=False)
    events: tuple[str, ...] = FINALS
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)
    scope: str = TASK

    @property
    def host(self) -> str:
        """The host with the port, if any."""
        return urlsplit(self.url).netloc.rpartition("@")[2].lower()

    @property
    def place(self) -> str:
        """The host without the port, with addresses normalized; for IPv6 the /64 of one client."""
        return site_of(self.host_name)

    @property
    def host_name(self) -> str:
        return urlsplit(self.url).hostname or ""

    def shown(self) -> WebhookJson:
        """Return the public part: no headers, no secret, no values of the URL's query."""
        return {"url": without_values(self.url), "events": list(self.events)}


def tokens_of(path: str) -> list[str]:
    """Return the path segments that are long enough to be secrets, as in URLs of chat services."""
    return [part for part in path.split("/") if len(part) >= TOKEN]


def without_values(url: str) -> str:
    """Return the URL without credentials, with *** for query values and tokens in the path."""
    parts = urlsplit(url)
    path = "/".join("***" if len(part) >= TOKEN else part for part in parts.path.split("/"))
    names = [pair.partition("=")[0] for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(f"{name}=***" for name in names)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()
