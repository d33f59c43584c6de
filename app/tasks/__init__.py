"""Tasks as values: their states, outcomes and JSON. No I/O."""
