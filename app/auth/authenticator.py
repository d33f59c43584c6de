"""Authentication of callers by API keys, which may change at run time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.auth.key_store import KeyFile, Keys, is_inline, parse
from app.auth.model import EVERYBODY, STRANGER, AccessKey, AccessLevel, Caller, caller_of
from app.auth.rate_limits import Allowance, LocalRates, RateLimits
from app.errors import Forbidden, InvalidInput, RateLimited, Unauthorized
from app.limits.periodic import every
from app.system.own_command import own_command

KEYS_ADD = ("keys", "add", "me", "--scope", "manage")  # makes the first key
REVOCATION_CHECK_INTERVAL = 0.5  # seconds between two checks for revoked keys of open streams


class Access:
    """`setting`: the path of a file of keys, or the keys themselves; empty: keys are not used.

    `shared`: keys see each other's tasks and files. Raises InvalidInput for invalid keys.
    """

    def __init__(
        self, setting: str = "", *, shared: bool = False, rates: RateLimits | None = None
    ) -> None:
        self.in_use = bool(setting.strip())
        self._shared = shared
        self._rates = rates or LocalRates()
        self._file: KeyFile | None = None
        self._fixed = Keys({})
        # Callback that ends a stream -> hash of its key
        self._open: dict[Callable[[], None], str] = {}
        if self.in_use and is_inline(setting):
            self._fixed = parse(setting)
        elif self.in_use:
            self._file = KeyFile(Path(setting.strip()).expanduser())
            self._file.load()

    @property
    def keys(self) -> Keys:
        """The keys currently in force."""
        return self._file.current() if self._file else self._fixed

    def check_owner(self, name: str | None) -> None:
        """Raise InvalidInput for a key that is no longer in force.

        A task in its name would have no owner, and no limit would apply to it.
        """
        if name is not None and self.in_use and self.keys.named(name) is None:
            raise InvalidInput(
                f"The task is of the API key {name!r}, which was removed.",
                hint="Submit its workflow with a key that is in force (GET "
                "/api/task/{task_id}/workflow has it), or make a key of that name again: "
                f"python start.py keys add {name} --take-over",
            )

    @property
    def trouble(self) -> str | None:
        """What the operator should know of the keys; None if all is well."""
        if not self.in_use or self.keys.by_hash:
            return self._file.trouble if self._file else None
        is_missing = self._file is not None and not self._file.exists
        where = "names a file that is not there" if is_missing else "holds no key"
        command = own_command(*KEYS_ADD, *([] if self._file else ["--inline"]))
        return f"COMFYUI_API_KEYS {where}: nobody gets in. Make a key with `{command}`."

    def trouble_with_port(self, key_name: str | None) -> str | None:
        """What the operator should know of the key that a port is bound to."""
        if not self.in_use or key_name is None or self.keys.named(key_name):
            return None
        command = own_command("keys", "add", key_name)
        return (
            f"COMFYUI_NATIVE_PORTS names the API key {key_name!r}, which is not there: nobody gets "
            f"in by its port. Make one with `{command}`."
        )

    def identify(self, text: str | None) -> AccessKey | None:
        """Return the key with this text; None without one. Raises Unauthorized for a wrong one."""
        if text is None or not self.in_use:
            return None
        key = self.keys.find(text)
        if key is None:
            raise Unauthorized(
                "There is no such API key, or it was revoked.",
                hint="`python start.py keys list` names those in force.",
            )
        return key

    def identify_native(self, text: str | None, *, in_path: bool) -> AccessKey | None:
        """Return the key for a request of ComfyUI's own protocol, restricted as the text is.

        Tokens for paths are good there; keys themselves are refused in paths. Raises Unauthorized.
        """
        if text is None or not self.in_use:
            return None
        found = self.keys.find_url(text)
        if not in_path:
            found = self.keys.find(text) or found
        if found is None:
            what, command = ("token", "url NAME") if in_path else ("API key", "list")
            does = "makes the URL of a key" if in_path else "names those in force"
            raise Unauthorized(
                f"There is no such {what}, or it was revoked.",
                hint=f"`python start.py keys {command}` {does}.",
            )
        return found

    def of_port(self, name: str | None) -> AccessKey | None:
        """Return the key that a port is bound to. Raises Unauthorized if it is not there."""
        if not self.in_use:
            return None
        key = self.keys.named(name) if name else None
        if key is None:
            raise Unauthorized(
                f"This port is bound to the API key {name!r}, which is not there.",
                hint=f"`python start.py keys add {name or 'NAME'}` makes one, with --take-over if "
                "it was revoked.",
            )
        return key.in_url()

    def caller(self, key: AccessKey | None, needed: AccessLevel) -> Caller:
        """Return the caller if its scope is sufficient. Raises Unauthorized and Forbidden."""
        if not self.in_use:
            return EVERYBODY
        if key is None:
            if needed is not AccessLevel.OPEN:
                raise Unauthorized(
                    "This needs an API key.",
                    hint="Send it as Authorization: Bearer KEY, or as X-API-Key: KEY; a browser's "
                    "WebSocket as the subprotocols comfyui-gateway and key.KEY.",
                )
            return STRANGER
        if key.scope < needed:
            own = self.keys.named(key.name)
            here = " here: a URL with a token, and a port, allow no more" if own != key else ""
            raise Forbidden(
                f"This needs a key with scope {needed.word}; {key.name!r} has "
                f"{key.scope.word}{here if own and own.scope > key.scope else ''}."
            )
        return caller_of(key, shared=self._shared)

    async def count(self, key: AccessKey | None) -> Allowance | None:
        """Count a request against the key's rate; None without a limit. Raises RateLimited."""
        if key is None or key.rate is None:
            return None
        allowance = await self._rates.take(key.name, key.rate)
        if not allowance.allowed:
            raise RateLimited(
                f"Key {key.name!r} may ask {key.rate.requests} times in {key.rate.seconds} s.",
                hint="Ask less often; a WebSocket tells of a task's end unasked, as ?wait= does in "
                "the gateway's own API.",
                retry_after=allowance.retry_after,
            )
        return allowance

    async def count_caller(self, caller: Caller) -> None:
        """Count an additional action within a request of the caller. Raises RateLimited."""
        if caller.name is not None and self.in_use:
            await self.count(self.keys.named(caller.name))

    def concurrency(self) -> Mapping[str, int]:
        """Return the limits of tasks on servers at a time, for the keys that have one."""
        return {key.name: key.concurrent for key in self.keys if key.concurrent is not None}

    @contextmanager
    def until_revoked(self, key: AccessKey, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` if the key is revoked while the context is open."""
        self._open[end] = key.hash
        try:
            yield
        finally:
            self._open.pop(end, None)

    async def run(self) -> None:
        """End streams of revoked keys until cancelled."""
        await every(REVOCATION_CHECK_INTERVAL, self._end_revoked, "ending streams of revoked keys")

    async def _end_revoked(self) -> None:
        known = self.keys.hashes if self._open else set()
        for end in [end for end, digest in self._open.items() if digest not in known]:
            del self._open[end]
            end()
