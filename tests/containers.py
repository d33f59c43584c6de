"""A container without Docker: an image on a root that nothing can be written to but /data and /tmp,
as a user without any rights. It is made of this machine's own system, so it needs root's rights."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from tests import services
from tests.dockerfile import Image, lay_out

# The mounts are in a namespace that ends with its process. $1: the folder; what is to be run in the
# container comes behind.
BUILD = """
top=$1; shift
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/layer,workdir=$top/work" "$top/root"
{then}
mount --bind "$VENV" "$top/root/gateway/venv"
mount --rbind /proc "$top/root/proc"
mount --rbind /dev "$top/root/dev"
exec chroot "$top/root" "$@"
"""
RUN = """
mount -o remount,ro "$top/root"
mount -t tmpfs tmpfs "$top/root/tmp"
mount --bind "$top/data" "$top/root/data"
"""
# As `cap_drop: [ALL]` and `no-new-privileges` have it.
POWERLESS = ("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")


class Containers:
    """Runs an image, one container after the other, with the same /data."""

    def __init__(self, image: Image, folder: Path) -> None:
        self._image, self._folder = image, folder
        self.data = folder / "data"
        self._layer = folder / "layer"

    def build(self) -> None:
        """Do what the Dockerfile does, but for packages: those are the tests' own."""
        if os.name != "posix" or os.geteuid() != 0 or not services.find("setpriv"):
            services.absent("a container's root needs root's rights on Linux")
        for name in ("root", "work", "layer/gateway/venv", "layer/data"):
            (self._folder / name).mkdir(parents=True)
        lay_out(self._image, self._layer)
        self._let_in()
        for name, text, folder in self._image.steps:
            if name == "RUN":
                words = self._words("0", folder, {}, ("sh", "-ec", text))
                command = self._enter(BUILD.format(then=""), words)
                subprocess.run(command, env=self._outside(), check=True)
        # As a named volume that is empty, which gets what the image has there.
        subprocess.run(("cp", "--archive", self._layer / "data", self.data), check=True)

    def _let_in(self) -> None:
        """Python may be in somebody's home."""
        for folder in list(Path(sys.base_prefix).resolve().parents)[:-1]:
            copy = self._layer / str(folder).lstrip("/")
            copy.mkdir(parents=True, exist_ok=True)
            copy.chmod(0o755)

    def _words(
        self, user: str, folder: str, more: Mapping[str, str], command: Sequence[str]
    ) -> list[str]:
        """A command within the root, as a user, with the image's environment and no other."""
        ids = user.split(":")
        rights = POWERLESS if user != "0" else ()
        environment = {**self._image.environment, **more}
        return [
            *("setpriv", "--reuid", ids[0], "--regid", ids[-1], *(rights or ("--keep-groups",))),
            *("env", "--ignore-environment", "--chdir", folder),
            *(f"{name}={value}" for name, value in environment.items()),
            *command,
        ]

    def _enter(self, script: str, words: Sequence[str]) -> list[str]:
        return ["unshare", "--mount", "sh", "-euc", script, "-", str(self._folder), *words]

    def _outside(self) -> dict[str, str]:
        return {"PATH": os.defpath + ":/usr/sbin:/sbin", "VENV": str(Path(sys.prefix).resolve())}

    @contextlib.asynccontextmanager
    async def start(
        self, *arguments: str, **environment: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """`docker run`: the process of a container, which is killed at the end."""
        command = [*self._image.entrypoint, *(arguments or self._image.command)]
        words = self._words(self._image.user, self._image.folder, environment, command)
        process = await asyncio.create_subprocess_exec(
            *self._enter(BUILD.format(then=RUN), words),
            env=self._outside(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def execute(
        self, process: asyncio.subprocess.Process, *command: str, **environment: str
    ) -> tuple[int | None, str]:
        """`docker exec`: another command in the container of this process; how it ended, and what
        it printed."""
        words = self._words(self._image.user, self._image.folder, environment, command)
        started = await asyncio.create_subprocess_exec(
            *("nsenter", "--target", str(process.pid), "--mount", "--root", *words),
            env=self._outside(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await started.communicate()
        return started.returncode, (out or err).decode()

    def empty(self, *, owner: int) -> None:
        """From now on /data is an empty folder of somebody's, as with a bind mount."""
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o755)
        os.chown(self.data, owner, owner)
