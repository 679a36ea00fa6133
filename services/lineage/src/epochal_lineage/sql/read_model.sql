CREATE TABLE node (
    name text PRIMARY KEY, project text NOT NULL, kind bigint NOT NULL, digest text NOT NULL,
    uri text NOT NULL
);
CREATE TABLE edge (
    source text NOT NULL, target text NOT NULL, kind bigint NOT NULL, project text NOT NULL,
    position bigint NOT NULL, PRIMARY KEY (source, target, kind)
);
CREATE INDEX edge_by_target ON edge (target, source);
CREATE TABLE run_artifact (
    run text NOT NULL, path text NOT NULL, sha256 bytea NOT NULL, PRIMARY KEY (run, path)
);
CREATE TABLE model (
    name text PRIMARY KEY, project text NOT NULL, description text NOT NULL,
    latest_version bigint NOT NULL, aliases jsonb NOT NULL, create_time timestamptz NOT NULL
);
CREATE INDEX model_by_project ON model (project, name);
CREATE TABLE model_version (
    model text NOT NULL, version bigint NOT NULL, run text NOT NULL, artifact_path text NOT NULL,
    digest text NOT NULL, description text NOT NULL, creator text NOT NULL,
    create_time timestamptz NOT NULL, PRIMARY KEY (model, version)
);
