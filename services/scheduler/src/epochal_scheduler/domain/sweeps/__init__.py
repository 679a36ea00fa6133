"""Sweeps: what to try next, which trials to stop, and what came out; pure and repeatable."""
