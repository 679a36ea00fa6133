"""Moving what other trackers hold into the platform: `epochal import`."""
