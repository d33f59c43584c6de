"""Assignment of tasks to servers, and the background work that keeps it consistent."""
