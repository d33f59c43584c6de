"""What the gateway answers otherwise than one ComfyUI, and why."""

from scripts.native_comparison.differences import Wanted

WANTED: list[Wanted] = []
