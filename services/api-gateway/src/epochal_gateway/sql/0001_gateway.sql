-- The gateway keeps nothing beside its read model.
CREATE SCHEMA IF NOT EXISTS gateway;
