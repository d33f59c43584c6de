"""Refuse a file for what is wrong with one of its nodes."""

from app.errors import InvalidWorkflow


def refused(node_id: str, class_type: str, kind: str, message: str) -> InvalidWorkflow:
    """The error that names the node, with the fault in the shape of ComfyUI's node_errors."""
    fault = {"type": kind, "message": message, "details": "", "extra_info": {}}
    node_errors = {node_id: {"class_type": class_type, "errors": [fault]}}
    return InvalidWorkflow(f"Node {node_id}: {message}", node_errors=node_errors)
