"""What every request passes before a route sees it: host, origin, key, scope, rate."""
