CREATE TABLE model (
    name text PRIMARY KEY, project text NOT NULL, display_name text NOT NULL,
    description text NOT NULL, latest_version bigint NOT NULL, aliases jsonb NOT NULL,
    tags jsonb NOT NULL, creator text NOT NULL, create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL, since bigint NOT NULL
);
CREATE INDEX model_by_project ON model (project, name);
CREATE INDEX model_by_display_name ON model (display_name, name);
CREATE TABLE model_version (
    model text NOT NULL, version bigint NOT NULL, project text NOT NULL, run text NOT NULL,
    run_id text NOT NULL, artifact_path text NOT NULL, digest text NOT NULL, source text NOT NULL,
    logged_model text NOT NULL, description text NOT NULL, tags jsonb NOT NULL,
    stage text NOT NULL, creator text NOT NULL, create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL, metrics jsonb NOT NULL, flavor text NOT NULL,
    signature text NOT NULL, file_count bigint NOT NULL, size_bytes bigint NOT NULL,
    signed_by jsonb NOT NULL, since bigint NOT NULL, PRIMARY KEY (model, version)
);
CREATE INDEX model_version_by_run ON model_version (run_id) WHERE run_id <> '';
CREATE TABLE logged_model (
    name text PRIMARY KEY, project text NOT NULL, display_name text NOT NULL,
    model_type text NOT NULL, run text NOT NULL, status bigint NOT NULL,
    status_message text NOT NULL, params jsonb NOT NULL, tags jsonb NOT NULL,
    creator text NOT NULL, create_time timestamptz NOT NULL, update_time timestamptz NOT NULL
);
CREATE INDEX logged_model_by_id ON logged_model (right(name, 34));
CREATE INDEX logged_model_by_project ON logged_model (project, create_time DESC, name);
CREATE TABLE logged_metric (
    logged_model text NOT NULL, metric text NOT NULL, run text NOT NULL,
    dataset_name text NOT NULL, dataset_digest text NOT NULL, value float8 NOT NULL,
    time_us bigint NOT NULL, step bigint NOT NULL,
    PRIMARY KEY (logged_model, metric, run, dataset_name, dataset_digest)
);
CREATE TABLE linked_model (
    run text NOT NULL, logged_model text NOT NULL, produced boolean NOT NULL, step bigint NOT NULL,
    position bigint NOT NULL, PRIMARY KEY (run, logged_model, produced)
);
