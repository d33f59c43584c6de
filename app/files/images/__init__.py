"""Processing of untrusted images: decoded in separate processes, scaled, masked."""
