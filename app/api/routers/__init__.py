"""HTTP and WebSocket routes, each of which calls one method of the gateway."""
