"""Workflows: formats, checks, parameters (pure functions), and the files in workflows/."""
