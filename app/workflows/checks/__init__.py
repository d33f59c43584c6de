"""Checks of prompts before they are queued. Pure."""
