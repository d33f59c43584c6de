"""comfy-headless: it polls; name and password stand in its address."""

import time

from comfy_headless.client import ComfyClient
from job import Json, main


def run(job: Json) -> bytes:
    account = f"any:{job['key']}@" if job["key"] else ""
    with ComfyClient(f"http://{account}{job['host']}") as client:
        until = time.monotonic() + 60
        while not client.is_online():  # it gives a server one second; a busy machine may take more
            assert time.monotonic() < until
            time.sleep(0.1)
        prompt_id = client.queue_prompt(job["graph"], {"note": job["name"]})
        entry = client.wait_for_completion(prompt_id, timeout=60, poll_interval=0.1)
        (image,) = entry["outputs"]["3"]["images"]
        return client.get_image(image["filename"], image["subfolder"], image["type"])


if __name__ == "__main__":
    main(run)
