"""Event log, bus, RPC, projections, runtime: what every Epochal service stands on."""
