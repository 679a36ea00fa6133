"""Sealing: events become leaves, heads of the tree are signed, and both are published."""
