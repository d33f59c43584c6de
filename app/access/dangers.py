"""What an operator should hear of who uses no API keys. Pure."""

from collections.abc import Collection

from app.access.origins import is_loopback


def dangers(host: str, port: int, cors_origins: Collection[str]) -> list[str]:
    """Who can use a gateway that listens there, beyond this machine."""
    found = []
    if not is_loopback(host):
        found.append(
            f"Everybody who can reach {host}:{port} can use this gateway: no API keys are in use. "
            "Make one with `python start.py keys add me --scope manage`, set "
            "COMFYUI_API_KEYS=api_keys.json, and start again."
        )
    if "*" in cors_origins:
        found.append(
            "COMFYUI_CORS_ORIGINS=* without API keys lets every web page that somebody here "
            "visits use this gateway. Name the pages that may, or use API keys."
        )
    return found
