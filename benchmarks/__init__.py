"""Seeded workloads, each beside its peer in the same run. `python -m benchmarks NAME --json`."""
