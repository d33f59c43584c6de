"""Limits on memory, threads and texts, periodic work, and the type of JSON."""
