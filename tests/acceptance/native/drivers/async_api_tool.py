"""comfyui-async-api-tool: its session is the caller's, headers included."""

import asyncio

import aiohttp
from comfyui_async_api_tool import ComfyClient
from job import Json, main


async def execute(job: Json) -> bytes:
    headers = {"Authorization": f"Bearer {job['key']}"} if job["key"] else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        client = ComfyClient(session, servers=[job["url"]])
        events = [event async for event in client.run(job["graph"])]
    pictures = [event["data"] for event in events if event["type"] == "image"]
    assert len(pictures) == 1, events
    return bytes(pictures[0])


if __name__ == "__main__":
    main(lambda job: asyncio.run(execute(job)))
