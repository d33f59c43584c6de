"""Requests to URLs that clients name (inputs, webhooks), without access to private addresses."""
