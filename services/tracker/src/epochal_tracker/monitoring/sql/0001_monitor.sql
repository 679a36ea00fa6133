-- The monitor keeps nothing beside its read model.
CREATE SCHEMA IF NOT EXISTS monitor;
