"""The RPCs that the gateway answers itself: projects and access."""
