"""The Python client of Epochal: tracking, CLI."""
