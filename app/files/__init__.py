"""Results and uploads: storage, types, and views."""
