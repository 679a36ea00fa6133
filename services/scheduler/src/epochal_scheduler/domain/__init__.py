"""What a run may do next: pure decisions over pure state."""
