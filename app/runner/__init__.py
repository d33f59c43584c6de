"""One task on one server, from the prompt to its results."""
