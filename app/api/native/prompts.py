"""POST /prompt and GET /prompt of ComfyUI's own protocol."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.deps import gateway_of, own_address
from app.api.native.replies import json_reply
from app.api.native.requests import posted_prompt
from app.api.native.shapes import number_of
from app.auth.model import AccessLevel


@requires(AccessLevel.RUN)
async def post_prompt(request: Request) -> Response:
    """Queue a prompt; answered when it is stored."""
    posted = await posted_prompt(request)
    accepted = await gateway_of(request).native_prompts.post(posted, own_address(request))
    if accepted.error is not None:
        told = {"error": accepted.error, "node_errors": accepted.node_errors}
        return json_reply(told, 400)
    assert accepted.task is not None
    assert accepted.task.native is not None
    return json_reply(
        {
            "prompt_id": accepted.task.task_id,
            "number": number_of(accepted.task.native.number),
            "node_errors": accepted.node_errors,
        }
    )


@requires(AccessLevel.READ)
async def get_prompt(request: Request) -> Response:
    """Answer how many prompts of the caller are unfinished."""
    remaining = await gateway_of(request).native_tasks.count()
    return json_reply({"exec_info": {"queue_remaining": remaining}})


ROUTES = [
    Route("/comfy/prompt", post_prompt, methods=["POST"]),
    Route("/comfy/prompt", get_prompt),
]
