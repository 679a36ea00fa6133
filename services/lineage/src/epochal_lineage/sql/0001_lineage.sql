-- The lineage service keeps nothing beside its read model.
CREATE SCHEMA IF NOT EXISTS lineage;
