"""Who may do what: keys of the gateway's own API, their limits, and from where browsers may ask.

Not to be confused with app/tasks/api_keys.py: those are keys of paid nodes, which clients lend us.
"""
