"""Which prompt of ours an event of a server belongs to."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.comfyui.events import Executing, NodeText, Preview, Progress, Unknown
from app.comfyui.socket import Connected, Heard
from app.servers.event_inbox import EventInbox

# Messages that need not name a prompt: previews of type 1, texts, and those of node packs
_OF_WHAT_RUNS = (Preview, NodeText, Progress, Unknown)


class PromptEvents:
    """The inboxes of the prompts on one server that are ours, by prompt id."""

    def __init__(self) -> None:
        self._inboxes: dict[str, EventInbox] = {}

    @contextmanager
    def follow(self, prompt_id: str, inbox: EventInbox) -> Iterator[None]:
        """Put the prompt's events into `inbox`, and `Connected` if events may have been missed."""
        self._inboxes[prompt_id] = inbox
        try:
            yield
        finally:
            del self._inboxes[prompt_id]

    def connected(self) -> None:
        for inbox in self._inboxes.values():
            inbox.put_nowait(Connected())

    def deliver(self, heard: Heard, running: str | None) -> str | None:
        """Put an event into its prompt's inbox; return the prompt that runs after it, if known.

        `running`: the prompt that ran before, by earlier events of the same socket. Some messages
        are sent to all clients without the id of a prompt: they belong to the prompt that runs, and
        to nobody here if that is a stranger's, of which there are no events.
        """
        event = heard.event
        prompt_id: str | None = getattr(event, "prompt_id", None)
        if prompt_id is None:
            prompt_id = running if isinstance(event, _OF_WHAT_RUNS) else None
        elif type(event) is not Unknown:  # what packs say may come late
            running = prompt_id
        inbox = self._inboxes.get(prompt_id) if prompt_id else None
        if inbox is not None:
            inbox.offer(event, heard.frame)
        if type(event) is Executing and event.node is None:
            return None
        return running
