"""Results and uploads: where they are kept, what kind they are, smaller views of them."""
