"""Tasks as values: their states, how a run ends, their JSON. No I/O."""
