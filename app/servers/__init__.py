"""The ComfyUI servers: addresses, health, and what they have installed."""
