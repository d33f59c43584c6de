"""Middleware before all routes: host, origin, key, scope, rate."""
