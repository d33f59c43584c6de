"""The workflow files in workflows/: names, versions, changes."""
