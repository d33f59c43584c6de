"""Results and assets named in a workflow in place of files. Pure."""
