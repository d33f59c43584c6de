"""A gateway in front of one or many ComfyUI servers."""
