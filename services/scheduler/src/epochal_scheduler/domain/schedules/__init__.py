"""Schedules: when they tick, what a tick leads to, and the partitions of a backfill; pure."""
