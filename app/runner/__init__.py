"""Runs one task on one server, from its prompt to its results."""
