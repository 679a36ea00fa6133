"""The model registry: pure decisions."""
