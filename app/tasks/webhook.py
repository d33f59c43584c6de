"""A webhook: where to tell of a task, and of what. Pure."""

from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import TypedDict

from app.outbound.addresses import parse_address, site_of

STARTED = "task.started"


FINALS = ("task.succeeded", "task.failed", "task.canceled")


EVENTS = (STARTED, *FINALS)


EVERYWHERE = "everywhere"  # the gateway's own webhook: its URL and secret stay in the settings


OPERATOR = "*"  # the lane of what it is told; "*NAME" of the tasks of a key


TOKEN = 16  # characters


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
    """Where to tell of a task, and of which events. `secret` is "whsec_<base64>"."""

    url: str = field(repr=False)
    events: tuple[str, ...] = FINALS
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)
    scope: str = TASK

    @property
    def host(self) -> str:
        """With the port, if there is one."""
        return urlsplit(self.url).netloc.rpartition("@")[2].lower()

    @property
    def place(self) -> str:
        """The host, whatever the port and the way its address is written; of IPv6 the /64, which
        is what one client has."""
        name = urlsplit(self.url).hostname or ""
        address = parse_address(name)
        return name if address is None else site_of(address)

    @property
    def host_name(self) -> str:
        return urlsplit(self.url).hostname or ""

    def shown(self) -> WebhookJson:
        """What everybody may see of it: no headers, no secret, no values in the URL's query."""
        return {"url": without_values(self.url), "events": list(self.events)}


def tokens_of(path: str) -> list[str]:
    """What is long enough in a path to be a password, as chat services have them there."""
    return [part for part in path.split("/") if len(part) >= TOKEN]


def without_values(url: str) -> str:
    """The URL without credentials, with *** for the values of its query and tokens in its path."""
    parts = urlsplit(url)
    path = "/".join("***" if len(part) >= TOKEN else part for part in parts.path.split("/"))
    names = [pair.partition("=")[0] for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(f"{name}=***" for name in names)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()
