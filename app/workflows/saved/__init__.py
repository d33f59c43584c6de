"""The workflow files in workflows/: names, versions, editing."""
