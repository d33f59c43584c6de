"""A gateway in front of one or more ComfyUI servers."""
