CREATE TABLE held_stage (
    resource text NOT NULL, stage text COLLATE "C" NOT NULL, version text NOT NULL,
    reason text NOT NULL, author text NOT NULL, promotion text NOT NULL,
    update_time timestamptz NOT NULL, since bigint NOT NULL, PRIMARY KEY (resource, stage)
);
CREATE TABLE held_stage_past (
    resource text NOT NULL, stage text COLLATE "C" NOT NULL, version text NOT NULL,
    reason text NOT NULL, author text NOT NULL, promotion text NOT NULL,
    update_time timestamptz NOT NULL, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (resource, stage, since)
);
CREATE TABLE component_version (
    name text PRIMARY KEY, component text NOT NULL, tag text NOT NULL, creator text NOT NULL
);
CREATE INDEX component_version_by_component ON component_version (component);
