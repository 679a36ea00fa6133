"""Graphs of steps: which step starts, is skipped or fails, and why; pure and incremental."""
