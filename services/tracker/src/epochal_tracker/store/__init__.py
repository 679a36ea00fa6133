"""The tracker's SQL: ingest, series, logs, runs."""
