"""HTTP and WebSocket routes: declare, call once, return."""
