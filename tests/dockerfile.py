"""What the Dockerfile says, read from it; and the files of an image, laid out in a folder."""

import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

USER = 10001


@dataclass
class Image:
    """A stage with all that it is built on in this file. Paths are those within the image."""

    environment: dict[str, str] = field(default_factory=dict)
    # Instructions RUN and COPY in their order, each with the folder in which it is.
    steps: list[tuple[str, str, str]] = field(default_factory=list)
    user: str = "0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def copies(self) -> list["Copy"]:
        """What it takes from here."""
        found = []
        for name, text, folder in self.steps:
            if name == "COPY" and "--from" not in text:
                *sources, target = [word for word in text.split() if word[:2] != "--"]
                owner = re.search(r"--chown=(\d+):\1", text)
                place = os.path.normpath(Path(folder, target)).lstrip("/")
                found.append(Copy(sources, place, int(owner[1]) if owner else 0))
        return found


@dataclass
class Copy:
    sources: list[str]
    target: str  # below the image's root
    owner: int


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def image(wanted: str) -> Image:
    known: dict[str, Image] = {}
    stage = Image()
    for name, text in instructions():
        if name == "FROM":
            base, _, stage_name = text.partition(" AS ")
            stage = known[stage_name] = _on(known.get(base))
        else:
            _add(stage, name, text)
    return known[wanted]


def _on(base: Image | None) -> Image:
    if base is None:
        return Image(environment={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
    return Image(dict(base.environment), list(base.steps), base.user, base.folder)


def _add(stage: Image, name: str, text: str) -> None:
    """Raises KeyError for an instruction that is not known here."""
    if name in ("RUN", "COPY"):
        stage.steps.append((name, text, stage.folder))
    elif name == "ENV":
        for word in shlex.split(text):
            key, _, value = word.partition("=")
            stage.environment[key] = value.replace("$PATH", stage.environment["PATH"])
    elif name == "HEALTHCHECK":
        stage.health = [] if text == "NONE" else json.loads(text[text.index("[") :])
    elif name in ("ENTRYPOINT", "CMD"):
        setattr(stage, {"CMD": "command"}.get(name, "entrypoint"), json.loads(text))
    elif name in ("VOLUME", "EXPOSE"):
        stage.volumes += text.split() if name == "VOLUME" else []
        stage.ports += map(int, text.split()) if name == "EXPOSE" else []
    elif name != "ARG":
        setattr(stage, {"USER": "user", "WORKDIR": "folder"}[name], text)


def lay_out(stage: Image, root: Path) -> None:
    """Put the files that the image takes from here into a folder that stands for its root. Only
    their owner may read them, as in a clone that was made so: the build keeps that."""
    for copy in stage.copies():
        target = root / copy.target
        target.mkdir(parents=True, exist_ok=True)
        for source in (ROOT / name for name in copy.sources):
            if source.is_file():
                shutil.copy(source, target)
            else:
                shutil.copytree(source, target, ignore=_ignored_in, dirs_exist_ok=True)
        for path in target.rglob("*"):
            path.chmod(path.stat().st_mode & 0o700)
        if copy.owner and os.geteuid() == 0:
            for path in (target, *target.rglob("*")):
                os.chown(path, copy.owner, copy.owner)


# -- .dockerignore ------------------------------------------------------------------------------


def _ignored_in(folder: str, names: list[str]) -> list[str]:
    below = Path(folder).relative_to(ROOT)
    return [name for name in names if is_ignored(str(below / name))]


def is_ignored(path: str) -> bool:
    """Whether a file is kept from the build: the last line that is about it, or a folder of it."""
    paths = [path, *map(str, list(Path(path).parents)[:-1])]
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = _pattern(line.removeprefix("!"))
            if any(pattern.fullmatch(one) for one in paths):
                ignored = not line.startswith("!")
    return ignored


def _pattern(glob: str) -> re.Pattern[str]:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    parts = re.split(r"(\*\*/|\*\*|\*)", glob)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts))
