"""File storage: a local folder or a bucket."""
