CREATE TABLE live_run (
    run_id uuid PRIMARY KEY, org_id text NOT NULL, name text NOT NULL, kind bigint NOT NULL,
    status bigint NOT NULL, creator text NOT NULL, queue text NOT NULL, priority bigint NOT NULL,
    amounts jsonb NOT NULL, asked bigint NOT NULL, asked_at timestamptz NOT NULL,
    pipeline text NOT NULL, fence bigint NOT NULL, attempt_position bigint NOT NULL,
    agent text NOT NULL, started_at timestamptz, unsealed jsonb NOT NULL
);
CREATE TABLE child (
    run_id uuid PRIMARY KEY, pipeline_id uuid NOT NULL, name text NOT NULL, step text NOT NULL,
    iteration bigint NOT NULL, status bigint NOT NULL, position bigint NOT NULL,
    schedule_time timestamptz, params jsonb NOT NULL, message text NOT NULL
);
CREATE INDEX child_by_pipeline ON child (pipeline_id, iteration);
CREATE TABLE queue (
    org_id text NOT NULL, queue text NOT NULL, config bytea NOT NULL,
    changed_at timestamptz NOT NULL, PRIMARY KEY (org_id, queue)
);
CREATE TABLE project_policy (
    project text PRIMARY KEY, cache bigint NOT NULL, four_eyes boolean NOT NULL
);
CREATE TABLE pending_result (
    run_id uuid PRIMARY KEY, project text NOT NULL, cache_key text NOT NULL, params jsonb NOT NULL,
    outputs jsonb NOT NULL
);
CREATE TABLE result (
    project text NOT NULL, cache_key text NOT NULL, run_id uuid NOT NULL, name text NOT NULL,
    ended_at timestamptz NOT NULL, params jsonb NOT NULL, outputs jsonb NOT NULL,
    PRIMARY KEY (project, cache_key)
);
CREATE TABLE component_stage (
    org_id text NOT NULL, component text NOT NULL, stage text NOT NULL, tag text NOT NULL,
    since bigint NOT NULL,
    PRIMARY KEY (org_id, component, stage)
);
CREATE TABLE component_stage_past (
    org_id text NOT NULL, component text NOT NULL, stage text NOT NULL, tag text NOT NULL,
    since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (org_id, component, stage, since)
);
CREATE TABLE component (
    org_id text NOT NULL, component text NOT NULL, tag text NOT NULL, spec bytea NOT NULL,
    digest text NOT NULL, is_preset boolean NOT NULL, description text NOT NULL,
    creator text NOT NULL, position bigint NOT NULL, create_time timestamptz NOT NULL,
    PRIMARY KEY (org_id, component, tag)
);
CREATE TABLE component_past (
    org_id text NOT NULL, component text NOT NULL, tag text NOT NULL, spec bytea NOT NULL,
    digest text NOT NULL, is_preset boolean NOT NULL, description text NOT NULL,
    creator text NOT NULL, position bigint NOT NULL, create_time timestamptz NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (org_id, component, tag, position)
);
