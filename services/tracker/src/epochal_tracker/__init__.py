"""Telemetry, parameters, tags, logs, artifacts and the search over runs."""
