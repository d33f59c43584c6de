"""Compares the answers of a ComfyUI with those of the gateway in front of it."""
