"""The editable inputs of a prompt: found, named, checked, set. Pure."""
