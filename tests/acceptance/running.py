"""Runs the blocks of a document as a reader would: bash, Python, JavaScript, Go;
PowerShell by what it says in bash."""

import asyncio
import configparser
import contextlib
import json
import os
import re
import signal
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import yaml

from tests import powershell, services
from tests.acceptance.documents import SHORTENED, Block, differences, expected_status
from tests.acceptance.standins import StandIns
from tests.conftest import RunningGateway, wait_until
from tests.ports import free_port

SECONDS = 120.0  # far more than any block takes; the machine may be busy
# Commands that start a gateway and go on until they are stopped.
STARTS = re.compile(r"^(\w+=\S+ )*(make demo|\S*python start\.py)(?! keys)( |$)")
# Needs what a test machine has not, or must not change; newman is what test_postman.py runs.
ELSEWHERE = re.compile(
    r"^(sudo|docker|helm|kubectl|systemctl|git clone|git pull|npm|newman|icacls)\b"
)
# All tests within a test would never end: that the command leads to them must do.
INSTEAD = {
    "make test": "make --dry-run test | grep scripts/test && scripts/test --version",
    "python3 -m venv .venv": "python3 -m venv --help",  # it is the one that all tests run in
}
ENVIRONMENT = {"PIP_NO_INDEX": "1", "PIP_NO_INPUT": "1"}  # what it installs is here already
# Each answer's status is noted; errors end the block unless it shows one.
CURL = r"""
curl() { command curl -sS --max-time 60 -w '%{stderr}status %{http_code}\n' "$@"; }
[ -f .state ] && source .state
set -euo pipefail -o allexport
trap 'set +o allexport; export -p > .state' EXIT
"""


class Reader:
    """Tries the blocks of one document, in their order, and notes what went wrong."""

    def __init__(self, folder: Path, gateway: RunningGateway, servers: list[str]) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.missing: set[str] = set()  # tools without which some blocks did not run
        self._gateway = gateway.address
        self._started: list[asyncio.subprocess.Process] = []
        self._standins = StandIns(gateway, servers)
        self._how: dict[str, Callable] = {
            "bash": self._bash,
            "powershell": self._powershell,
            "python": self._python,
            "javascript": self._javascript,
            "go": self._go,
            "json": self._json,
            "yaml": self._yaml,
            "toml": self._toml,
            "ini": self._ini,
            "text": self._nothing,
            "nginx": self._nothing,  # test_nginx.py
        }

    async def try_out(self, block: Block) -> None:
        try:
            await self._how[block.language](block)
        except (AssertionError, ValueError, KeyError, TimeoutError) as error:
            self.faults.append(f"{block.place} ({block.language})\n{type(error).__name__}: {error}")

    # -- shell -------------------------------------------------------------------------------

    async def _bash(self, block: Block) -> None:
        text = await self._standins.put_into(block.content)
        lines = re.split(r"(?<!\\)\n", text)
        kept = [line for line in lines if not STARTS.match(line) and not ELSEWHERE.match(line)]
        script = CURL + "\n".join(INSTEAD.get(line, line) for line in kept)
        (self.folder / ".block.sh").write_text(script, encoding="utf-8")
        status, out, err = await self._run("bash", ".block.sh")
        assert status == 0, f"exit {status}: {out[-600:]} {err[-600:]}"
        codes = [int(code) for code in re.findall(r"^status (\d+)$", err, re.MULTILINE)]
        wanted = expected_status(block)
        refused = [code for code in codes if code >= 400]
        assert refused == ([wanted] if wanted else []), f"{codes}: {out[-600:]}"
        if block.answer and out.strip():
            self._compare(block, out)
        for line in lines:
            if STARTS.match(line):
                await self._starts(line)

    async def _powershell(self, block: Block) -> None:
        """Its commands in bash; a block of bash right before it has run, and is the same."""
        commands = powershell.in_bash(block.content)
        if block.twin is None:
            await self._bash(replace(block, content=commands))
        else:
            assert powershell.commands_of(commands) == powershell.commands_of(block.twin.content)

    def _compare(self, block: Block, out: str) -> None:
        assert block.answer is not None
        shown, real = json.loads(block.answer.content), json.loads(out)
        shortened = bool(SHORTENED.match(block.answer.after))
        faults = differences(shown, real, shortened=shortened)
        assert not faults, f"shown at {block.answer.place}: " + "; ".join(faults)

    async def _starts(self, line: str) -> None:
        """The command makes a gateway that answers. It runs as long as the document is tried out,
        and is then told to stop."""
        real = free_port()
        if match := re.search(r"--port (\d+)", line):
            self._standins.addresses[f"localhost:{match[1]}"] = f"localhost:{real}"
            line = line.replace(match[0], f"--port {real}")
        line = line.replace("--host 0.0.0.0", "--host 127.0.0.1")  # nobody else is to reach it
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"exec env {line}"),
            cwd=self.folder,
            env={**self._environment(), "COMFYUI_PORT": str(real), "COMFYUI_HOST": "127.0.0.1"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self._started.append(process)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{real}") as http:
            await wait_until(lambda: _is_healthy(http, process), SECONDS)

    async def stop(self) -> None:
        """End what the document has started."""
        for process in self._started:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                await process.wait()

    # -- programs ----------------------------------------------------------------------------

    async def _python(self, block: Block) -> None:
        await self._program(block, "block.py", "python", "-W", "error", "block.py")

    async def _javascript(self, block: Block) -> None:
        node = services.find("node") or "node"
        option = "--experimental-websocket"  # Node 22 has it without; it still takes the option
        if not await self._works(node, option, "-e", "WebSocket"):
            self.missing.add("node 20 or newer")
            return
        command = (node, "--no-warnings", option, "block.mjs")
        await self._program(block, "block.mjs", *command)

    async def _go(self, block: Block) -> None:
        if services.find("go") is None:
            self.missing.add("go")
            return
        await self._program(block, "main.go", "go", "vet", "main.go")
        await self._program(block, "main.go", "go", "run", "main.go")

    async def _program(self, block: Block, name: str, *command: str) -> None:
        text = await self._standins.put_into(block.content)
        (self.folder / name).write_text(text, encoding="utf-8")
        script = '[ -f .state ] && source .state; exec "$@"'
        status, out, err = await self._run("bash", "-c", script, "-", *command)
        assert status == 0, f"exit {status}: {out[-600:]} {err[-900:]}"

    async def _works(self, *command: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return (await self._run(*command))[0] == 0
        return False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "COMFY" not in name}
        path = f"{self.folder}/.venv/bin:{os.environ['PATH']}"
        cache = os.environ.get("GOCACHE", str(Path.home() / ".cache" / "go-build"))
        more = {"PATH": path, "HOME": str(self.folder), "GOCACHE": cache}
        return {**kept, **ENVIRONMENT, **more, "GATEWAY_URL": f"http://{self._gateway}"}

    async def _run(self, *command: str) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    # -- data --------------------------------------------------------------------------------

    async def _json(self, block: Block) -> None:
        json.loads(block.content)

    async def _yaml(self, block: Block) -> None:
        assert list(yaml.safe_load_all(block.content))

    async def _toml(self, block: Block) -> None:
        assert tomllib.loads(block.content)

    async def _ini(self, block: Block) -> None:
        """A unit of systemd: its command is one that there is."""
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment]
        unit.read_string(block.content)
        service = unit["Service"]
        _, script = service["ExecStart"].removeprefix(service["WorkingDirectory"]).split()
        assert (self.folder / script).is_file()

    async def _nothing(self, block: Block) -> None:
        """An excerpt of an output."""


async def _is_healthy(http: httpx.AsyncClient, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, f"it ended with {process.returncode}"
    try:
        return (await http.get("/api/health")).status_code == 200
    except httpx.TransportError:
        return False
