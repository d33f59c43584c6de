"""Speaking to addresses that clients name: inputs by URL, webhooks. Nothing private is reached."""
