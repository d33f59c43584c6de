"""ComfyUI's own protocol in front of all servers: routes, socket, shapes.

It behaves as one ComfyUI, whose prompts are tasks of the caller. Sources: traffic recorded from
ComfyUI 0.3.64 and 0.33.0, and what published clients send and read.
"""
