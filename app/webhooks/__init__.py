"""Webhooks: the events of tasks, signed, retried for hours, and never lost."""
