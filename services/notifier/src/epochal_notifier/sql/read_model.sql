CREATE TABLE subscription (
    name text PRIMARY KEY, project text NOT NULL, display_name text NOT NULL,
    channel bytea NOT NULL, sealed_channel bytea NOT NULL, occasions jsonb NOT NULL,
    create_time timestamptz NOT NULL, position bigint NOT NULL,
    description text NOT NULL, paused boolean NOT NULL, update_time timestamptz NOT NULL
);
CREATE INDEX subscription_by_project ON subscription (project, name);
CREATE TABLE run_title (
    run text PRIMARY KEY, display_name text NOT NULL, creator text NOT NULL
);
CREATE TABLE model_title (
    model text PRIMARY KEY, display_name text NOT NULL, prompt boolean NOT NULL
);
CREATE TABLE delivery (
    name text PRIMARY KEY, project text NOT NULL, subscription text NOT NULL,
    occasion bigint NOT NULL, run text NOT NULL, state bigint NOT NULL, attempts bigint NOT NULL,
    last_outcome text NOT NULL, cause_position bigint NOT NULL
);
CREATE INDEX delivery_by_project ON delivery (project, cause_position DESC, name);
