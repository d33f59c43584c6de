"""The ComfyUI servers: which there are, whether they answer, what they have."""
