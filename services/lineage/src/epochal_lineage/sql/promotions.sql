CREATE TABLE promotion (
    resource text NOT NULL, number bigint NOT NULL, owner text NOT NULL, version text NOT NULL,
    stage text NOT NULL, alias text NOT NULL, kind bigint NOT NULL, state bigint NOT NULL,
    requester text NOT NULL, reason text NOT NULL, gates jsonb NOT NULL,
    policy_version bigint NOT NULL, policy_digest text NOT NULL, approvals jsonb NOT NULL,
    old_version text NOT NULL, review_open boolean NOT NULL, reviewer text NOT NULL,
    review text NOT NULL, rejection text NOT NULL, position bigint NOT NULL,
    create_time timestamptz NOT NULL, update_time timestamptz NOT NULL, since bigint NOT NULL,
    PRIMARY KEY (resource, number)
);
CREATE INDEX promotion_by_owner ON promotion (owner, position DESC);
CREATE INDEX promotion_open ON promotion (owner, state) WHERE state = 1 OR review_open;
CREATE TABLE promotion_past (
    resource text NOT NULL, number bigint NOT NULL, owner text NOT NULL, version text NOT NULL,
    stage text NOT NULL, alias text NOT NULL, kind bigint NOT NULL, state bigint NOT NULL,
    requester text NOT NULL, reason text NOT NULL, gates jsonb NOT NULL,
    policy_version bigint NOT NULL, policy_digest text NOT NULL, approvals jsonb NOT NULL,
    old_version text NOT NULL, review_open boolean NOT NULL, reviewer text NOT NULL,
    review text NOT NULL, rejection text NOT NULL, position bigint NOT NULL,
    create_time timestamptz NOT NULL, update_time timestamptz NOT NULL, since bigint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (resource, number, since)
);
CREATE INDEX promotion_past_by_owner ON promotion_past (owner, position DESC);
CREATE TABLE registry_policy (
    project text NOT NULL, version bigint NOT NULL, text text NOT NULL, digest text NOT NULL,
    author text NOT NULL, reason text NOT NULL, create_time timestamptz NOT NULL,
    position bigint NOT NULL, PRIMARY KEY (project, version)
);
CREATE TABLE card_section (
    name text NOT NULL, section bigint NOT NULL, text text NOT NULL, author text NOT NULL,
    position bigint NOT NULL, PRIMARY KEY (name, section, position)
);
CREATE TABLE run_fact (
    run text PRIMARY KEY, creator text NOT NULL, display_name text NOT NULL,
    component text NOT NULL, succeeded boolean NOT NULL
);
CREATE TABLE version_reference (
    model_version text NOT NULL, run text NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (model_version, run)
);
CREATE TABLE version_file (
    model text NOT NULL, version bigint NOT NULL, path text NOT NULL, sha256 bytea NOT NULL,
    size_bytes bigint NOT NULL, artifact text NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (model, version, path)
);
CREATE TABLE version_signature (
    model text NOT NULL, version bigint NOT NULL, key text NOT NULL, bundle text NOT NULL,
    creator text NOT NULL, create_time timestamptz NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (model, version, key)
);
CREATE TABLE model_past (
    name text NOT NULL, project text NOT NULL, display_name text NOT NULL,
    description text NOT NULL, latest_version bigint NOT NULL, aliases jsonb NOT NULL,
    tags jsonb NOT NULL, creator text NOT NULL, create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (name, since)
);
CREATE INDEX model_past_by_project ON model_past (project, name, since);
CREATE TABLE model_version_past (
    model text NOT NULL, version bigint NOT NULL, project text NOT NULL, run text NOT NULL,
    run_id text NOT NULL, artifact_path text NOT NULL, digest text NOT NULL, source text NOT NULL,
    logged_model text NOT NULL, description text NOT NULL, tags jsonb NOT NULL,
    stage text NOT NULL, creator text NOT NULL, create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL, metrics jsonb NOT NULL, flavor text NOT NULL,
    signature text NOT NULL, file_count bigint NOT NULL, size_bytes bigint NOT NULL,
    signed_by jsonb NOT NULL, since bigint NOT NULL, until bigint NOT NULL,
    PRIMARY KEY (model, version, since)
);
CREATE INDEX model_version_past_by_run ON model_version_past (run_id);
CREATE INDEX model_version_past_by_project ON model_version_past (project);
