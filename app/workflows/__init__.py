"""Workflows: formats, checks and parameters (pure functions), and the files in workflows/."""
