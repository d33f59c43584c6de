"""What the drivers share: jobs come by standard input, pictures go into the folder they run in.

A job is {"name", "url", "host", "key", "graph"}: `url` is all that a user enters as ComfyUI's
address, `host` the same without its scheme, `key` what goes into a header or null. The picture
of a job is NAME.png; what is printed last is {NAME: null or what went wrong}.
"""

import json
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def main(run: Callable[[Json], bytes]) -> None:
    """Do all jobs at once, by `run`, which answers the picture."""
    jobs = json.load(sys.stdin)

    def done(job: Json) -> str | None:
        try:
            Path(f"{job['name']}.png").write_bytes(run(job))
        except BaseException:  # noqa: BLE001 (clients raise what they like, SystemExit too)
            return traceback.format_exc()[-2000:]
        return None

    with ThreadPoolExecutor(len(jobs)) as pool:
        told = dict(zip((job["name"] for job in jobs), pool.map(done, jobs), strict=True))
    sys.stdout.write("\n" + json.dumps(told) + "\n")


def graph_file(job: Json) -> Path:
    """The graph as a file in API format."""
    path = Path(f"{job['name']}.json")
    path.write_text(json.dumps(job["graph"]), encoding="utf-8")
    return path
