"""A stand-in for a ComfyUI server: its HTTP and WebSocket surface, without GPU or torch."""

from fake_comfyui.knobs import Knobs, Records
from fake_comfyui.server import DemoServer

__all__ = ["DemoServer", "Knobs", "Records"]
