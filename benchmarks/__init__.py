"""How fast the gateway is, beside ComfyUI alone and beside its peers. See README.md."""
