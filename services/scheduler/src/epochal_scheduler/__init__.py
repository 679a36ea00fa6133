"""Runs: specs, lifecycle, queues, agents."""
