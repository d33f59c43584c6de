"""What a test can turn on the demo server (Knobs) and what it can read off it (Records)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

PREVIEW_METHODS = ("none", "auto", "latent2rgb", "taesd")


class UnknownKnob(ValueError):
    """No knob has this name, or the value is of the wrong kind."""


@dataclass
class Knobs:
    """Misbehaviour on demand. Live: a change takes effect at the next opportunity."""

    step_seconds: float = 0.12
    preview_method: str = "none"
    """As ComfyUI's `--preview-method`, whose default it has: one of PREVIEW_METHODS."""
    slow: float = 0.0
    """Extra seconds per node."""
    fail_node: str | None = None
    """A class_type or a node id that raises an execution_error."""
    fail_times: int | None = None
    """How often `fail_node` fails; None means always."""
    oom: str | None = None
    """A class_type that runs out of memory once; the knob then turns itself off."""
    reject_with: tuple[int, Any] | None = None
    """(status, body) for every POST /prompt; a str body is text/plain, anything else JSON."""
    reject_only: str | None = None
    """Only prompts with a node of this class_type are rejected so."""
    reject_path: str | None = None
    """Requests to paths that begin so are rejected so, and no prompts."""
    retry_after: str | None = None
    """This header in what is rejected."""
    take_rejected: bool = False
    """Prompts are queued all the same."""
    drop_socket_after: int | None = None
    """Cut a socket, without close frame, after that many more messages; turns itself off."""
    refuse_sockets: bool = False
    """Answer handshakes with 503; turning it on cuts the open sockets."""
    stall: bool = False
    """The worker makes no progress and says nothing."""
    hang: bool = False
    """HTTP and handshakes are accepted and not answered until lifted."""
    hold_prompts: bool = False
    """POST /prompt is read, and neither taken nor answered until lifted; all else is answered."""
    lose_prompt_reply: bool = False
    """Queue the next prompt but cut its connection instead of answering; turns itself off."""
    forget_prompts: bool = False
    """Answer POST /prompt as ever, and know nothing of the prompt afterwards."""
    hide_history: int = 0
    """For so many reads, /history knows nothing of finished prompts."""
    say: dict[str, Any] | None = None
    """In messages and histories, at any depth: these values in place of those under these keys."""
    missing_outputs: bool = False
    """GET /view answers 404 for outputs."""
    view_closes: str | None = None
    """GET /view closes the connection for files with this in their name."""
    view_fails: str | None = None
    """The same, with status 500."""
    view_hangs: str | None = None
    """The same, without an answer until lifted."""

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[str], None]] = []

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if "_listeners" not in self.__dict__ or name.startswith("_"):
            return
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self._listeners:
            listener(name)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener(name)` after every change."""
        self._listeners.append(listener)

    async def until_off(self, name: str) -> None:
        """Wait as long as the knob `name` is on."""
        while getattr(self, name):
            await self._changed.wait()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def update(self, changes: dict[str, Any]) -> None:
        """Set several knobs from JSON; all or none."""
        known = {knob.name for knob in fields(self)}
        if unknown := set(changes) - known:
            raise UnknownKnob(f"unknown knob: {', '.join(sorted(unknown))}")
        if wrong := [name for name, value in changes.items() if not _fits(name, value)]:
            raise UnknownKnob(f"wrong value for: {', '.join(sorted(wrong))}")
        for name, value in changes.items():
            setattr(self, name, tuple(value) if name == "reject_with" and value else value)


_SWITCHES = {"refuse_sockets", "stall", "hang", "hold_prompts"}
_SWITCHES |= {"take_rejected", "lose_prompt_reply", "forget_prompts", "missing_outputs"}
_WORDS = {"fail_node", "oom", "view_closes", "view_fails", "view_hangs"}
_WORDS |= {"reject_only", "reject_path", "retry_after"}
_COUNTS = {"fail_times", "drop_socket_after"}


def _fits(name: str, value: Any) -> bool:
    """Whether a value from JSON is of the kind its knob takes."""
    if name in _SWITCHES:
        return isinstance(value, bool)
    if name in _WORDS:
        return value is None or isinstance(value, str)
    if name == "preview_method":
        return value in PREVIEW_METHODS
    if name == "say":
        return value is None or isinstance(value, dict)
    if name == "reject_with":
        return value is None or (isinstance(value, list) and len(value) == 2)
    if name in _COUNTS and value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def distorted(said: Any, values: dict[str, Any] | None) -> Any:
    """What is said with the values of the knob `say` in it."""
    if not values:
        return said
    if isinstance(said, dict):
        return {
            name: values[name] if name in values else distorted(item, values)
            for name, item in said.items()
        }
    if isinstance(said, list | tuple):
        return [distorted(item, values) for item in said]
    return said


@dataclass(frozen=True, slots=True)
class AcceptedPrompt:
    """A prompt as it was accepted into the queue."""

    prompt_id: str
    client_id: Any
    number: float
    graph: dict[str, Any]
    accepted_at: float = field(default_factory=time.time)


@dataclass(slots=True)
class Execution:
    """How often a prompt really started, and how each run ended."""

    starts: int = 0
    endings: list[str] = field(default_factory=list)
    """"success", "error", "interrupted", "died" or "forgotten"."""

    @property
    def ended(self) -> str | None:
        return self.endings[-1] if self.endings else None


@dataclass
class Records:
    """What the server was asked and what it did; survives restart_empty()."""

    prompts: list[AcceptedPrompt] = field(default_factory=list)
    executed: dict[str, Execution] = field(default_factory=dict)
    interrupts: list[Any] = field(default_factory=list)
    """The prompt_id of each POST /interrupt, None for a global one."""
    uploads: list[str] = field(default_factory=list)
    frees: list[dict[str, Any]] = field(default_factory=list)
    sockets: int = 0
    sockets_peak: int = 0

    def execution(self, prompt_id: str) -> Execution:
        return self.executed.setdefault(prompt_id, Execution())

    def socket_opened(self) -> None:
        self.sockets += 1
        self.sockets_peak = max(self.sockets, self.sockets_peak)

    def socket_closed(self) -> None:
        self.sockets -= 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
