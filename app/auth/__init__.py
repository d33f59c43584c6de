"""Who may do what: keys of the gateway's own API, their limits, and from where browsers may ask.

Not to be confused with app/runner/paid_node_keys.py: keys of paid nodes, which clients lend us.
"""
