"""Webhooks: signed deliveries of task events, retried for hours and never lost."""
