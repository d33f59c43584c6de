"""The only package that speaks ComfyUI's protocol (0.3.64 and later, features detected)."""
