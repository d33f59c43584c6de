"""The error for a file with an invalid node."""

from app.errors import InvalidWorkflow


def refused(node_id: str, class_type: str, kind: str, message: str) -> InvalidWorkflow:
    """Return an error that names the node, with `node_errors` in ComfyUI's format."""
    fault = {"type": kind, "message": message, "details": "", "extra_info": {}}
    node_errors = {node_id: {"class_type": class_type, "errors": [fault]}}
    return InvalidWorkflow(f"Node {node_id}: {message}", node_errors=node_errors)
