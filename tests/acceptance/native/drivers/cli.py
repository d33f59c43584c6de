"""comfy-cli: `comfy run` and `comfy jobs ls`. It knows a host and a port only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import requests
from job import Json, graph_file, main

COMMAND = (sys.executable, "-c", "from comfy_cli.__main__ import main; main()")


def comfy(job: Json, *arguments: str) -> Json:
    """What a command tells, as JSON."""
    home = Path(f"{job['name']}-home").absolute()
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [*COMMAND, "--json", *arguments],
        env={**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])["data"]


def run(job: Json) -> bytes:
    host, _, port = job["host"].partition(":")
    server = ("--host", host, "--port", port)
    told = comfy(job, "run", "--workflow", str(graph_file(job)), "--wait", *server)
    if job["second"]:  # once is enough, as a start takes seconds
        jobs = comfy(job, "jobs", "ls", *server)
        assert told["prompt_id"] in json.dumps(jobs), jobs
    (picture,) = told["outputs"]
    answer = requests.get(picture, timeout=60)
    answer.raise_for_status()
    return answer.content


if __name__ == "__main__":
    main(run)
