"""What may be logged about a run: pure decisions."""
