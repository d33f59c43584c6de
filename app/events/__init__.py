"""The events of tasks, on their way to subscribers."""
