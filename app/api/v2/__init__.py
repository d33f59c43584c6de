"""Comfy API v2 on the gateway's tasks and files: jobs are tasks, assets are results and uploads."""

from app.api.v2 import assets, events, jobs

MODULES = (jobs, events, assets)
