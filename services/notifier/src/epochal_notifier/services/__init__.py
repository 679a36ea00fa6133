"""The RPCs of the notifier."""
