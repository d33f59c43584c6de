"""Authentication and authorization: API keys, their limits, and origins of browsers.

Not to be confused with app/runner/paid_node_keys.py: keys of paid nodes, which clients send.
"""
