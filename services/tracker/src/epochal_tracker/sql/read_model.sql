CREATE TABLE run (
    run_id uuid PRIMARY KEY, project text NOT NULL, display_name text NOT NULL,
    kind bigint NOT NULL, status bigint NOT NULL, message text NOT NULL, params jsonb NOT NULL,
    tags jsonb NOT NULL, creator text NOT NULL, queue text NOT NULL, attempt bigint NOT NULL,
    exit_code bigint, create_time timestamptz NOT NULL, start_time timestamptz,
    end_time timestamptz, spec_digest text NOT NULL, incomplete_producers jsonb NOT NULL,
    pipeline text NOT NULL, step text NOT NULL, iteration bigint NOT NULL, origin text NOT NULL,
    origin_kind text NOT NULL, holds jsonb NOT NULL, outputs jsonb NOT NULL,
    schedule_time timestamptz, service_path text NOT NULL, paused boolean NOT NULL,
    more bytea NOT NULL, delete_time timestamptz
);
CREATE INDEX run_by_project ON run (project, create_time DESC, run_id DESC);
CREATE INDEX run_by_pipeline ON run (right(pipeline, 36), iteration) WHERE pipeline <> '';
CREATE INDEX run_by_time ON run (create_time DESC, run_id DESC);
CREATE TABLE run_field (
    run_id uuid NOT NULL, kind text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL, number float8, PRIMARY KEY (run_id, kind, name)
);
CREATE INDEX run_field_by_number ON run_field (kind, name, number, run_id)
    WHERE number IS NOT NULL;
CREATE INDEX run_field_by_text ON run_field (kind, name, left(text, 200), run_id);
CREATE TABLE run_dataset (
    run_id uuid NOT NULL, name text COLLATE "C" NOT NULL, digest text COLLATE "C" NOT NULL,
    context text COLLATE "C" NOT NULL, details bytea NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, name, digest)
);
CREATE TABLE run_mark (
    run_id uuid NOT NULL, kind text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL,
    text text NOT NULL, author text NOT NULL, PRIMARY KEY (run_id, kind, owner)
);
CREATE INDEX run_mark_by_owner ON run_mark (kind, owner, run_id);
CREATE TABLE saved_search (
    name text COLLATE "C" PRIMARY KEY, project text COLLATE "C" NOT NULL, owner text NOT NULL,
    shared boolean NOT NULL, content bytea NOT NULL
);
CREATE INDEX saved_search_by_project ON saved_search (project, name);
CREATE TABLE producer (
    run_id uuid NOT NULL, producer uuid NOT NULL, epoch bigint NOT NULL, opened bigint NOT NULL,
    sealed_batch bigint, sealed_root bytea, PRIMARY KEY (run_id, producer)
);
CREATE TABLE artifact (
    run_id uuid NOT NULL, path text NOT NULL, sha256 bytea NOT NULL, size_bytes bigint NOT NULL,
    kind text NOT NULL, media_type text NOT NULL, create_time timestamptz NOT NULL,
    PRIMARY KEY (run_id, path)
);
CREATE TABLE capture (
    run_id uuid NOT NULL, attempt bigint NOT NULL, capture bytea NOT NULL,
    PRIMARY KEY (run_id, attempt)
);
CREATE INDEX artifact_by_digest ON artifact (sha256);
CREATE TABLE record (
    run_id uuid NOT NULL, record_id text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL,
    series text COLLATE "C" NOT NULL, step bigint NOT NULL, time_us bigint NOT NULL,
    path text NOT NULL, content bytea NOT NULL, PRIMARY KEY (run_id, record_id)
);
CREATE INDEX record_by_series ON record (run_id, kind, series, step, time_us, record_id);
CREATE TABLE truncation (
    run_id uuid NOT NULL, producer uuid NOT NULL, from_step bigint NOT NULL,
    PRIMARY KEY (run_id, producer)
);
CREATE TABLE retention (
    project text PRIMARY KEY, metrics_days bigint NOT NULL, system_metrics_days bigint NOT NULL,
    logs_days bigint NOT NULL, artifacts_days bigint NOT NULL, spans_days bigint NOT NULL,
    metrics_archived boolean NOT NULL DEFAULT false,
    system_metrics_archived boolean NOT NULL DEFAULT false,
    logs_archived boolean NOT NULL DEFAULT false
);
CREATE TABLE archive (
    run_id uuid NOT NULL, sha256 bytea NOT NULL, producer uuid NOT NULL, kind bigint NOT NULL,
    size_bytes bigint NOT NULL, first_batch bigint NOT NULL, last_batch bigint NOT NULL,
    points bigint NOT NULL, log_lines bigint NOT NULL, sealed boolean NOT NULL,
    tree_size bigint NOT NULL, merkle_root bytea NOT NULL, altered bigint NOT NULL,
    archive_time timestamptz NOT NULL, position bigint NOT NULL,
    PRIMARY KEY (run_id, sha256)
);
CREATE INDEX archive_by_object ON archive (sha256);
CREATE TABLE restored_run (run_id uuid PRIMARY KEY, until timestamptz NOT NULL);
CREATE TABLE needed_run (
    run_id uuid NOT NULL, model_version text NOT NULL, artifact_path text NOT NULL,
    PRIMARY KEY (run_id, model_version)
);
CREATE TABLE purged_run (run_id uuid PRIMARY KEY);
CREATE TABLE dead_object (sha256 bytea PRIMARY KEY, position bigint NOT NULL);
CREATE TABLE trace (
    name text COLLATE "C" PRIMARY KEY, project text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL, state bigint NOT NULL, time_us bigint NOT NULL,
    duration_us bigint, client_request_id text COLLATE "C" NOT NULL, tags jsonb NOT NULL,
    metadata jsonb NOT NULL, more bytea NOT NULL
);
CREATE INDEX trace_by_time ON trace (project, time_us DESC, name);
CREATE INDEX trace_by_id ON trace (trace_id);
CREATE INDEX trace_by_source ON trace ((metadata ->> 'mlflow.sourceRun'));
CREATE TABLE trace_assessment (
    trace text COLLATE "C" NOT NULL, assessment_id text COLLATE "C" NOT NULL,
    kind bigint NOT NULL, assessment_name text COLLATE "C" NOT NULL, value text NOT NULL,
    content bytea NOT NULL, PRIMARY KEY (trace, assessment_id)
);
CREATE TABLE trace_run (
    trace text COLLATE "C" NOT NULL, run_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (trace, run_id)
);
CREATE INDEX trace_run_by_run ON trace_run (run_id);
