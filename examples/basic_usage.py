"""Make a picture through the gateway and save it in the folder `pictures`.

    python examples/basic_usage.py
    python examples/basic_usage.py --prompt "a paper boat on a quiet river"

Needs httpx. The gateway is expected at http://localhost:8000; the environment variable
GATEWAY_URL names another address, and COMFYUI_API_KEY is the API key, if it wants one.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

GATEWAY_URL = os.environ.get("GATEWAY_URL", "http://localhost:8000")
WORKFLOW = Path(__file__).resolve().parent.parent / "workflows" / "qwen_t2i_distill.json"
PROMPT = "a red fox in the snow"
PICTURES = Path("pictures")  # in the current folder; git ignores it
FINISHED = {"succeeded", "failed", "canceled", "expired"}
POLL_SECONDS = 0.5
PATIENCE = 60  # seconds that the gateway may be away while we wait, while it restarts say

Json = dict[str, Any]


class GatewayProblem(Exception):
    """The gateway refused something, or the task did not succeed."""


def generate_image(
    prompt: str,
    negative_prompt: str = "",
    seed: int = -1,
    steps: int = 20,
    width: int = 1024,
    height: int = 1024,
    api_key: str = "",
) -> Path:
    """Run the workflow and download its first picture. A seed of -1 means a random one."""
    params = {  # "<node_id>.<input>", as in the workflow file
        "6.text": prompt,
        "7.text": negative_prompt,
        "3.seed": seed,
        "3.steps": steps,
        "58.width": width,
        "58.height": height,
    }
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    with httpx.Client(base_url=GATEWAY_URL, timeout=30, headers=headers) as client:
        task = submit(client, workflow, params)
        print(f"A picture of {prompt!r}, by {WORKFLOW.name} at {GATEWAY_URL}")
        print(f"task {task['task_id']}, seed {task['params']['3.seed']}")
        try:
            task = wait_for(client, task)
        except KeyboardInterrupt:
            client.post(f"/api/task/{task['task_id']}/cancel")
            raise
        if task["status"] != "succeeded":
            raise GatewayProblem(f"The task has {task['status']}: {reason_of(task)}")
        pictures = [output for output in task["outputs"] if output["kind"] == "image"]
        if not pictures:
            raise GatewayProblem("The task has succeeded, but it made no picture.")
        return download(client, pictures[0])


def submit(client: httpx.Client, workflow: Json, params: Json) -> Json:
    """Queue the workflow with these values; the new task."""
    body = {"workflow": workflow, "params": params}
    return checked(client.post("/api/workflow/submit", json=body)).json()


def wait_for(client: httpx.Client, task: Json) -> Json:
    """Ask until the task is finished, and show how far it is."""
    shown = ""
    heard = time.monotonic()
    while task["status"] not in FINISHED:
        time.sleep(POLL_SECONDS)
        try:
            task = checked(client.get(f"/api/task/{task['task_id']}")).json()
            heard = time.monotonic()
        except httpx.TransportError:  # the task goes on without us: just ask again
            if time.monotonic() - heard > PATIENCE:
                raise
        line = progress_line(task)
        if line != shown:
            print(line)
            shown = line
    return task


def progress_line(task: Json) -> str:
    """ "running    73 %  KSampler 4/15" """
    if task["queue_position"]:
        return f"{task['status']:10} place {task['queue_position']} in the queue"
    progress = task["progress"]
    steps = f" {progress['step']:.0f}/{progress['steps']:.0f}" if progress["steps"] else ""
    node = progress["class_type"] or ""
    return f"{task['status']:10} {progress['value']:4.0%}  {node}{steps}".rstrip()


def download(client: httpx.Client, output: Json) -> Path:
    """Save the output in `pictures`, without touching a file that is there already."""
    PICTURES.mkdir(exist_ok=True)
    name = PurePosixPath(output["filename"])
    target, number = PICTURES / name.name, 1
    while target.exists():
        number += 1
        target = PICTURES / f"{name.stem} ({number}){name.suffix}"
    with client.stream("GET", client.base_url.join(output["url"])) as response:
        if response.is_error:
            response.read()
        checked(response)
        with target.open("xb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)
    return target


def checked(response: httpx.Response) -> httpx.Response:
    """The response if it is a good one. Every error of the gateway says what is wrong."""
    if response.is_success:
        return response
    try:
        problem = response.json()
        message = f"{problem['detail']} [{problem['code']}]"
        hint = problem.get("hint")
    except (ValueError, KeyError, TypeError):  # it is not the gateway who answers
        message, hint = f"HTTP {response.status_code} from {response.url}", None
    raise GatewayProblem(f"{message}\nHint: {hint}" if hint else message)


def reason_of(task: Json) -> str:
    error = task["error"]
    return f"{error['message']} [{error['code']}]" if error else "it was canceled on request"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a picture through the gateway.")
    parser.add_argument("--prompt", default=PROMPT, help=f"what to see ({PROMPT})")
    parser.add_argument("--negative-prompt", default="", help="what not to see")
    parser.add_argument("--seed", type=int, default=-1, help="-1 (the default) is random")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument(
        "--api-key",
        default=os.environ.get("COMFYUI_API_KEY", ""),
        help="better in the environment variable COMFYUI_API_KEY: others see command lines",
    )
    return parser.parse_args()


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a code page of Windows lacks most letters
    options = parse_args()
    try:
        path = generate_image(**vars(options))
    except GatewayProblem as error:
        print(error, file=sys.stderr)
        return 1
    except (httpx.TransportError, httpx.InvalidURL) as error:
        print(f"{GATEWAY_URL} does not answer: {error}", file=sys.stderr)
        print("Start the gateway (python start.py --demo), or set GATEWAY_URL.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Canceled.", file=sys.stderr)
        return 130
    print(f"Saved {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
