"""Typed records of runs: how each kind is encoded, gathered on disk, packed and sent."""
