"""Replacements of ComfyUI's own routes, which are not served at the root. Pure."""

_INSTEAD = {
    "prompt": "POST /api/workflow/submit (the same body), GET /api/queue",
    "queue": "GET /api/queue, POST /api/queue/clear, POST /api/task/{id}/cancel",
    "history": "GET /api/task/{id}, GET /api/history, POST /api/history/delete",
    "interrupt": "POST /api/task/{id}/cancel",
    "view": "the url of each output: GET /api/image/{filename}?task_id=...",
    "upload": "POST /api/image/upload, POST /api/image/upload/mask",
    "object_info": "GET /api/nodes (?class_type=...)",
    "models": "GET /api/models",
    "view_metadata": "GET /api/models/{folder}/metadata?filename=...",
    "embeddings": "GET /api/embeddings",
    "system_stats": "GET /api/system/info",
    "free": "POST /api/system/free",
    "features": "GET /api/features",
    "extensions": "GET /api/features",
    "userdata": "GET /api/workflows, POST /api/workflow/upload",
    "v2/userdata": "GET /api/workflows",
    "jobs": "GET /api/tasks, GET /api/task/{id}",
}


def hint_for(path: str) -> str | None:
    """Return the replacement of a ComfyUI route, with or without /api; None for other paths."""
    parts = path.strip("/").removeprefix("api/").split("/")
    instead = _INSTEAD.get("/".join(parts[:2])) or _INSTEAD.get(parts[0])
    return f"ComfyUI's own routes are not served. Use {instead}." if instead else None
