"""Commands inside runs that this agent holds: shells, and whatever else people look with."""
