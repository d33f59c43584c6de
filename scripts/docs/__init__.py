"""Writes the pages that are made out of the code: `.venv/bin/python -m scripts.docs`."""
