"""The RPCs of the lineage service: graph, registry, audit."""
