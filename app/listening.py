"""Taking the address to listen on: before anything else of a start, by the sockets that serve."""

import errno
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from app.errors import BadSettings, CannotStart

# Who else may have a port
_USUAL = {8188: "ComfyUI, whose own port it is", 8000: "another gateway or ComfyUI Desktop"}
# Of a name with addresses of both kinds, such as localhost, where there is only one of the kinds
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Told(NamedTuple):
    """The settings that an operator changes if an address cannot be listened on."""

    host: str
    port: str


MAIN = Told("COMFYUI_HOST", "--port or COMFYUI_PORT")
NATIVE = Told("COMFYUI_NATIVE_PORTS", "COMFYUI_NATIVE_PORTS")


@contextmanager
def listening(
    host: str, port: int, native_ports: Iterable[tuple[str, int]] = ()
) -> Iterator[Sequence[socket.socket]]:
    """Yield sockets bound to all addresses of `host`; empty: to all of this machine. Those of
    further ports come after them.

    Whoever serves has them listen: until then clients are refused, not kept waiting. Raises
    BadSettings for what is no address of this machine, CannotStart for a port that others have.
    """
    with ExitStack() as stack:
        bound = [*stack.enter_context(_bound(host, port, MAIN))]
        for native_host, native_port in native_ports:
            bound += stack.enter_context(_bound(native_host, native_port, NATIVE))
        yield bound


@contextmanager
def _bound(host: str, port: int, told: Told) -> Iterator[Sequence[socket.socket]]:
    with ExitStack() as stack:
        bound: list[socket.socket] = []
        failure: Exception | None = None
        for family, address in _addresses(host, port, told):
            listener = stack.enter_context(socket.socket(family, proto=socket.IPPROTO_TCP))
            try:
                _bind(listener, address)
                bound.append(listener)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise refused(address, error, told) from error
                failure = error
        if not bound:
            raise _no_address(host, failure, told)
        yield bound


def refused(address: tuple[str, int], error: OSError, told: Told) -> CannotStart:
    """Return what to tell an operator of an address that cannot be listened on."""
    host, port = address[:2]
    where = f"Cannot listen on {f'[{host}]' if ':' in host else host}:{port}: "
    remedy = f"choose another port with {told.port}."
    # For a port that another program has to itself Windows says that it is not permitted.
    is_taken = error.errno == errno.EADDRINUSE or (error.errno == errno.EACCES and port >= 1024)
    if is_taken:
        who = _USUAL.get(port, "another gateway")
        return CannotStart(f"{where}the port is taken, perhaps by {who}. Stop that, or {remedy}")
    if isinstance(error, PermissionError):
        return CannotStart(f"{where}this user may not (ports below 1024 are root's). So {remedy}")
    return CannotStart(f"{where}{error.strerror}. Perhaps {remedy}")


def url_of(host: str, listener: socket.socket) -> str:
    """Return the URL under which an operator reaches a server on `host`."""
    shown = f"[{host}]" if ":" in host else host or "0.0.0.0"
    return f"http://{shown}:{listener.getsockname()[1]}"


def running_on(host: str, listener: socket.socket) -> str:
    """Return the line that tells that a server on `host` runs, with an address for browsers."""
    url = url_of(host, listener)
    if host in ("", "0.0.0.0", "::"):
        url += f", on this machine http://localhost:{listener.getsockname()[1]}"
    return f"running on {url} (Press CTRL+C to quit)"


def _addresses(host: str, port: int, told: Told) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise _no_address(host, error, told) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _bind(listener: socket.socket, address: tuple[str, int]) -> None:
    # On Windows SO_REUSEADDR takes the port from a program that has it, unless that forbids it.
    if sys.platform == "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind(address)
    listener.setblocking(False)


def _no_address(host: str, failure: Exception | None, told: Told) -> BadSettings:
    reason = getattr(failure, "strerror", None) or "no such name"
    return BadSettings(
        f"Setting {told.host}: {host[:200]!r} is no address to listen on ({reason}). "
        "Write an address or a name of this machine, such as 127.0.0.1, or 0.0.0.0 for all."
    )
