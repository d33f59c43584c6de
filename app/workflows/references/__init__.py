"""References to results and assets in a workflow, in place of file names. Pure."""
