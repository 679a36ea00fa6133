"""Auditing: bundles that prove themselves, kept checkpoints, exports for other programs."""
