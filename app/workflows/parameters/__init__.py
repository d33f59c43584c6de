"""The parameters of a prompt: finding, naming, validating and setting them. Pure."""
