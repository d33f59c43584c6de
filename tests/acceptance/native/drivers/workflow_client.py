"""comfyui-workflow-client, both of its classes: one polls, the other has a socket."""

import asyncio
import io
from typing import Any

from comfyuiclient import ComfyUIClient, ComfyUIClientAsync
from job import Json, graph_file, main


def address(job: Json) -> str:
    """requests and aiohttp take name and password out of it."""
    return f"any:{job['key']}@{job['host']}" if job["key"] else job["host"]


async def by_socket(job: Json) -> Any:
    client = ComfyUIClientAsync(address(job), str(graph_file(job)))
    await client.connect()
    try:
        return await client.generate(["SaveImage"])
    finally:
        await client.close()


def by_polling(job: Json) -> Any:
    client = ComfyUIClient(address(job), str(graph_file(job)))
    client.connect()
    try:
        return client.generate(["SaveImage"])
    finally:
        client.close()


def run(job: Json) -> bytes:
    results = by_polling(job) if job["second"] else asyncio.run(by_socket(job))
    picture = io.BytesIO()
    results["SaveImage"].save(picture, "PNG")
    return picture.getvalue()


if __name__ == "__main__":
    main(run)
