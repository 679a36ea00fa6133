"""What came from what: lineage graph, model registry, audit."""
