"""A stand-in for a ComfyUI server: its HTTP and WebSocket surface, without GPU or torch."""

from app.demo.knobs import Knobs, Records
from app.demo.server import DemoServer

__all__ = ["DemoServer", "Knobs", "Records"]
