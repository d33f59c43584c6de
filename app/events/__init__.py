"""Distribution of task events to subscribers."""
