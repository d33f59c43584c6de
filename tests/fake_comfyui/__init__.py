"""The demo server against what the real ones were recorded doing."""
