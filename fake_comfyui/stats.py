"""GET /system_stats of a machine that is not there."""

from __future__ import annotations

import sys
from typing import Any

from fake_comfyui.version import Version

_GIB = 1024**3


_DEVICE = {
    "name": "cuda:0 Demo GPU",
    "type": "cuda",
    "index": 0,
    "vram_total": 24 * _GIB,
    "vram_free": 18 * _GIB,
    "torch_vram_total": 6 * _GIB,
    "torch_vram_free": 1 * _GIB,
}


def _packages() -> list[dict[str, str]]:
    versions = {"comfyui-frontend-package": "1.49.6", "comfyui-workflow-templates": "0.11.44"}
    return [{"name": name, "installed": v, "required": v} for name, v in versions.items()]


def system_stats(version: Version) -> dict[str, Any]:
    system = {
        "os": sys.platform,
        "ram_total": 64 * _GIB,
        "ram_free": 40 * _GIB,
        "comfyui_version": version.number,
        "required_frontend_version": "1.49.6",
        "installed_templates_version": "0.11.44",
        "required_templates_version": "0.11.44",
        **({"comfy_package_versions": _packages()} if version.jobs_api else {}),
        "python_version": sys.version,
        "pytorch_version": "2.13.0+demo",
        "embedded_python": False,
        **({"deploy_environment": "local-git"} if version.jobs_api else {}),
        "argv": ["python", "-m", "fake_comfyui"],
    }
    return {"system": system, "devices": [_DEVICE]}
