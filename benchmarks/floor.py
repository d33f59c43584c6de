"""FastAPI and uvicorn with next to nothing to do: what is left of a goal before we begin.
`python -m benchmarks.floor --port PORT`."""

import argparse
import time
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

Json = dict[str, Any]

TASK = {
    "task_id": "f01e256e-9ad7-4da9-85c6-07ea4a45feeb",
    "status": "succeeded",
    "outputs": [{"node_id": "9", "kind": "image", "filename": f"{n}.png"} for n in range(4)],
    "progress": {"value": 1.0, "nodes_done": 2, "nodes_total": 2},
}
FILE = bytes(1000)

app = FastAPI()
sockets: set[WebSocket] = set()


@app.get("/")
async def ready() -> str:
    return "ready"


@app.get("/task/{task_id}")
async def task(task_id: str) -> Json:
    return TASK


@app.get("/file")
async def file() -> Response:
    return Response(FILE, media_type="image/png")


@app.post("/submit")
async def submit(request: Request) -> Response:
    await request.json()
    return JSONResponse(TASK, 202)


@app.websocket("/ws")
async def websocket(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        sockets.discard(socket)


@app.post("/tell/{step}")
async def tell(step: int) -> float:
    """Sends it to all, one after the other; answers when that began, by the monotonic clock."""
    began, text = time.monotonic(), f'{{"type":"task_update","step":{step}}}'
    for socket in sockets:
        await socket.send_text(text)
    return began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    uvicorn.run(app, port=port, log_level="warning", ws_per_message_deflate=False)


if __name__ == "__main__":
    main()
