"""Make many pictures with one request: each prompt meets each seed.

    python examples/batch_generate.py
    python examples/batch_generate.py --seeds 4 "a red fox in the snow" "a paper boat"

The pictures go into the folder `pictures`. Needs httpx. The gateway is expected at
http://localhost:8000; the environment variable GATEWAY_URL names another address, and
COMFYUI_API_KEY is the API key, if it wants one.
"""

import argparse
import os
import random
import sys
import time
import uuid
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

GATEWAY_URL = os.environ.get("GATEWAY_URL", "http://localhost:8000")
API_KEY = os.environ.get("COMFYUI_API_KEY", "")
HEADERS = {"Authorization": f"Bearer {API_KEY}"} if API_KEY else {}
PROMPTS = ["a red fox in the snow", "a paper boat on a quiet river"]
POLL_SECONDS = 0.5

Json = dict[str, Any]


class GatewayProblem(Exception):
    """The gateway refused something."""


def generate(client: httpx.Client, options: argparse.Namespace) -> int:
    """Run the batch and save what it makes; how many of its tasks did not succeed."""
    seeds = [random.randrange(2**32) for _ in range(options.seeds)]
    body = {
        "filename": options.workflow,
        "params": {"steps": options.steps},
        "batch": {"prompt": options.prompts, "seed": seeds},
    }
    print(f"{len(options.prompts)} prompts with {options.seeds} seeds each, at {GATEWAY_URL}:")
    print("\n".join(f"  {prompt}" for prompt in options.prompts))
    batch = submit(client, body)
    print(f"batch {batch['batch_id']}: {batch['total']} tasks")
    try:
        batch = wait_for(client, batch)
    except KeyboardInterrupt:
        client.post(f"/api/batch/{batch['batch_id']}/cancel")
        raise
    options.folder.mkdir(parents=True, exist_ok=True)
    return sum(not save(client, task, options.folder) for task in batch["tasks"])


def submit(client: httpx.Client, body: Json) -> Json:
    """Queue the batch. With a key of our own it may be sent again if the answer gets lost."""
    key = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(3):
        try:
            answer = client.post("/api/workflow/submit", json=body, headers=key)
        except httpx.ReadError:
            continue
        if answer.status_code != 429:
            return checked(answer)
        seconds = int(answer.headers["Retry-After"])
        print(f"The queue is full; trying again in {seconds} s")
        time.sleep(seconds)
    raise GatewayProblem("The gateway took none of three tries. Is it restarting, or full?")


def wait_for(client: httpx.Client, batch: Json) -> Json:
    """Ask until all of its tasks are finished, and show how many are."""
    shown = ""
    while not batch["finished"]:
        time.sleep(POLL_SECONDS)
        batch = checked(client.get(f"/api/batch/{batch['batch_id']}"))
        line = ", ".join(f"{count} {status}" for status, count in batch["counts"].items() if count)
        if line != shown:
            print(line)
            shown = line
    return batch


def save(client: httpx.Client, task: Json, folder: Path) -> bool:
    """Save the task's pictures, named after their seed; False if it has not succeeded."""
    if task["status"] != "succeeded":
        reason = task["error"]["message"] if task["error"] else "canceled on request"
        print(f"{task['task_id']}: {task['status']}: {reason}", file=sys.stderr)
        return False
    for output in task["outputs"]:
        if output["kind"] != "image" or output["type"] != "output":
            continue
        name = PurePosixPath(output["filename"])
        target = folder / f"{name.stem}-{task['task_id'][:8]}{name.suffix}"
        answer = client.get(client.base_url.join(output["url"])).raise_for_status()
        target.write_bytes(answer.content)
        print(f"{target}  {task['params']}")
    return True


def checked(response: httpx.Response) -> Json:
    """The JSON of a good answer. Every error of the gateway says what is wrong."""
    if not response.is_success:
        problem = response.json()
        raise GatewayProblem(f"{problem['detail']} [{problem['code']}]")
    answer: Json = response.json()
    return answer


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make many pictures with one request.")
    parser.add_argument("prompts", nargs="*", default=PROMPTS, metavar="PROMPT", help="what to see")
    parser.add_argument("--seeds", type=int, default=2, help="pictures of each prompt (2)")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workflow", default="sd15_text_to_image.json", help="a saved workflow")
    parser.add_argument("--folder", type=Path, default=Path("pictures"))
    return parser.parse_args()


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a code page of Windows lacks most letters
    options = parse_args()
    try:
        with httpx.Client(base_url=GATEWAY_URL, headers=HEADERS, timeout=30) as client:
            failed = generate(client, options)
    except GatewayProblem as error:
        print(error, file=sys.stderr)
        return 1
    except httpx.TransportError as error:
        print(f"{GATEWAY_URL} does not answer: {error}", file=sys.stderr)
        print("Start the gateway (python start.py --demo), or set GATEWAY_URL.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Canceled.", file=sys.stderr)
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
