"""Subscriptions and deliveries: pure decisions."""
