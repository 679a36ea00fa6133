"""Runs whose work is other runs: one controller each, fed by what becomes of its children."""
