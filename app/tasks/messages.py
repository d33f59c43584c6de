"""What a run finds in its inbox: the server's events, and what others ask of it."""

from dataclasses import dataclass

from app.comfyui.events import Event, Executing
from app.comfyui.socket import Connected
from app.tasks.model import CancelReason


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Stop, for a request or a timeout."""

    reason: CancelReason


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Leave the server: if the prompt only waits there; with `force` even if it runs."""

    reason: str
    force: bool = False


Message = Event | Connected | CancelRequest | MoveRequest


def calls_for_a_look(message: Message | None) -> bool:
    """Time is up, events may have been missed, or the end was told."""
    match message:
        case None | Connected() | Executing(node=None):
            return True
        case _:
            return False
