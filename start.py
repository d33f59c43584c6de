"""The command line.

python start.py [--host --port --workers N --comfyui-server HOST:PORT ...] [--demo]
python start.py keys add NAME --scope run | keys list | keys revoke NAME
python start.py keys url NAME | keys revoke-url NAME ID

What a gateway needs takes most of a second to import, and 70 MB. It is imported where it is used:
the parent of workers is no gateway.
"""

import argparse
import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from app.system.own_command import cannot_import

try:
    from pydantic import ValidationError

    from app import logs
    from app.auth.native_ports import ports_of
    from app.errors import CannotStart, GatewayError
    from app.given_settings import read_settings
    from app.listening import listening
    from app.processes import CANNOT_START, Inherited, Workers, check_workers
    from app.settings import Settings
    from app.system.console import print_anything, stop_when_closed
    from app.system.ending import put_away_first
    from app.system.process_limits import raise_file_limit
except ImportError as error:
    sys.stderr.write(f"{cannot_import(error)}\n")
    sys.exit(3)

DEMO_PORT = 8188
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="start.py",
        description="A dependable API in front of one or many ComfyUI servers.",
        epilog="API keys: start.py keys --help",
    )
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (8000)")
    parser.add_argument(
        "--comfyui-server",
        action="append",
        metavar="HOST:PORT",
        help="a ComfyUI server; repeat it for more (127.0.0.1:8188)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes; PostgreSQL and Redis for more than 1"
    )
    parser.add_argument("--inherited", type=Inherited.parse, help=argparse.SUPPRESS)
    parser.add_argument(
        "--demo", action="store_true", help="start a stand-in for ComfyUI, too: needs no GPU"
    )
    return parser.parse_args(arguments)


def settings_of(options: argparse.Namespace) -> Settings:
    """Command line before environment before .env."""
    given = {
        name: value
        for name in ("host", "port", "workers", "comfyui_server")
        if (value := getattr(options, name)) is not None
    }
    return read_settings(**given)


def run(options: argparse.Namespace) -> int:
    """Run a gateway, or the parent of several; return the exit code. Raises CannotStart."""
    settings = settings_of(options)
    check_workers(settings, demo=options.demo)
    inherited: Inherited | None = options.inherited
    worker = inherited.number if inherited else None
    logs.configure(settings.log_level, settings.log_format, worker)
    raise_file_limit()
    if inherited is not None:
        return run_gateway(lambda: serve_as_worker(settings, inherited))
    keys = settings.api_keys.get_secret_value()
    ports = ports_of(settings.native_ports, main_port=settings.port, keys=keys)
    places = [(each.host, each.port) for each in ports]
    with listening(settings.host, settings.port, places) as listeners:
        if settings.workers > 1:
            return asyncio.run(Workers(settings, sys.orig_argv[1:], listeners).run())
        return run_gateway(lambda: serve(settings, listeners, demo=options.demo))


def run_gateway(serving: Callable[[], Coroutine[Any, Any, None]]) -> int:
    # Of what a start makes next to nothing is garbage, and to look for it takes a tenth of the
    # start; `serving.Process` begins to.
    gc.disable()
    from app.serving import loop_factory

    stop_when_closed()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serving())
    return 0


async def serve_as_worker(settings: Settings, inherited: Inherited) -> None:
    from app import serving

    await serving.serve_as_worker(settings, inherited)


async def serve(settings: Settings, listeners: Sequence[socket.socket], *, demo: bool) -> None:
    from app import serving

    with put_away_first():
        async with AsyncExitStack() as stack:
            if demo:
                address = await stack.enter_async_context(_demo())
                settings = settings.model_copy(update=_demo_settings(settings, address))
            await serving.serve(settings, listeners)


def _demo_settings(settings: Settings, address: str) -> dict[str, object]:
    """With the stand-in as server. Webhooks may lead to this machine, so that they can be tried
    out: the address to listen on says that nobody else can reach us."""
    allowed = settings.allow_private_urls
    if not allowed and settings.host in LOOPBACK:
        allowed = list(LOOPBACK)
    return {"comfyui_server": [f"http://{address}"], "allow_private_urls": allowed}


@asynccontextmanager
async def _demo() -> AsyncIterator[str]:
    """The stand-in, on ComfyUI's own port if that is free; its address."""
    from fake_comfyui.server import CannotListen, DemoServer

    for port in (DEMO_PORT, 0):
        try:
            # Previews are much of what a demo is for.
            async with DemoServer(port=port, preview_method="auto") as server:
                yield server.address
                return
        except CannotListen:
            if port == 0:
                raise


def manage_keys(arguments: list[str]) -> int:
    from app.auth import cli
    from app.checked_settings import checked

    settings = checked(read_settings())
    everywhere = settings.host in ("0.0.0.0", "::")
    host = "localhost" if everywhere else settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}{settings.root_path}"
    return cli.main(arguments, settings.api_keys.get_secret_value(), url)


def main() -> int:
    print_anything()
    is_about_keys = sys.argv[1:2] == ["keys"]
    options = parse_args([] if is_about_keys else sys.argv[1:])
    try:
        return manage_keys(sys.argv[2:]) if is_about_keys else run(options)
    except ValidationError as error:
        for fault in error.errors():
            name = "_".join(["COMFYUI", *map(str, fault["loc"])]).upper()
            sys.stderr.write(f"Setting {name}: {fault['msg'].removeprefix('Value error, ')}\n")
        return 2
    except GatewayError as error:
        sys.stderr.write(" ".join(filter(None, [error.detail, error.hint])) + "\n")
        return 2
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START
    except ImportError as error:
        sys.stderr.write(f"{cannot_import(error)}\n")
        return CANNOT_START
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
