"""The RPCs of the tracker: runs, telemetry, artifacts."""
