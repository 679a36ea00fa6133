"""What a run has logged and the platform has not persisted yet, in files that survive kill -9."""
