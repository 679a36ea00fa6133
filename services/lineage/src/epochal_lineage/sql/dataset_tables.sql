CREATE TABLE dataset_version (
    name text PRIMARY KEY, family text NOT NULL, project text NOT NULL, uri text NOT NULL,
    digest text NOT NULL, run text NOT NULL, produced boolean NOT NULL, features boolean NOT NULL,
    contents bytea NOT NULL, columns bytea NOT NULL, details bytea NOT NULL, validated bytea NOT NULL,
    position bigint NOT NULL, create_time timestamptz NOT NULL,
    maker text NOT NULL, since bigint NOT NULL, columns_since bigint NOT NULL,
    details_since bigint NOT NULL
);
CREATE INDEX dataset_version_by_project ON dataset_version (project, family, position DESC);
CREATE TABLE dataset_version_past (
    name text NOT NULL, family text NOT NULL, project text NOT NULL, uri text NOT NULL,
    digest text NOT NULL, run text NOT NULL, produced boolean NOT NULL, features boolean NOT NULL,
    contents bytea NOT NULL, validated bytea NOT NULL, position bigint NOT NULL,
    create_time timestamptz NOT NULL, maker text NOT NULL, since bigint NOT NULL,
    until bigint NOT NULL, PRIMARY KEY (name, since)
);
CREATE INDEX dataset_version_past_by_project
    ON dataset_version_past (project, family, position DESC);
