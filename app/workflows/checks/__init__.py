"""What is refused before it is queued. Pure."""
