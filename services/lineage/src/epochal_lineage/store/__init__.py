"""The lineage service's SQL: graph, registry, audit."""
