"""Comfy API v2 over our tasks and files: a job is a task, results and uploads are assets."""

from app.api.v2 import assets, events, jobs

MODULES = (jobs, events, assets)
