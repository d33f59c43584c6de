"""comfykit, both of its modes: one polls /history, the other has a socket."""

import asyncio

import requests
from comfykit import ComfyKit
from job import Json, main


def run(job: Json) -> bytes:
    async def execute() -> list[str]:
        url, key = job["url"], job["key"]
        if job["second"] and key:  # its socket has no header for a key
            url, key = f"http://any:{key}@{job['host']}", None
        mode = "websocket" if job["second"] else "http"
        kit = ComfyKit(url, executor_type=mode, api_key=key)
        result = await kit.execute_json(job["graph"])
        assert result.status == "completed", result
        return result.images

    (picture,) = asyncio.run(execute())
    headers = {"Authorization": f"Bearer {job['key']}"} if job["key"] else {}
    answer = requests.get(picture, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.content


if __name__ == "__main__":
    main(run)
