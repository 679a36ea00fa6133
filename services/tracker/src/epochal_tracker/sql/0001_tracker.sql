-- Telemetry: what the sink keeps. Not a read model: it cannot be rebuilt from the control log,
-- which holds only its seals.
CREATE SCHEMA IF NOT EXISTS tracker;

-- One row a batch: what makes a redelivery harmless, and what a seal is computed over.
CREATE TABLE tracker.batch (
    run_id   uuid    NOT NULL,
    producer uuid    NOT NULL,
    batch    bigint  NOT NULL CHECK (batch >= 1),
    kind     smallint NOT NULL,
    points   bigint  NOT NULL,
    lines    bigint  NOT NULL,
    sha256   bytea   NOT NULL CHECK (octet_length(sha256) = 32),
    PRIMARY KEY (run_id, producer, batch)
);

-- All batches up to `batch` are here.
CREATE TABLE tracker.producer_cursor (
    run_id   uuid   NOT NULL,
    producer uuid   NOT NULL,
    batch    bigint NOT NULL,
    PRIMARY KEY (run_id, producer)
);

CREATE TABLE tracker.telemetry_cursor (
    shard      smallint PRIMARY KEY,
    stream_seq bigint   NOT NULL
);

CREATE TABLE tracker.metric_chunk (
    day           date     NOT NULL,
    run_id        uuid     NOT NULL,
    metric        text     NOT NULL,
    producer      uuid     NOT NULL,
    batch         bigint   NOT NULL,
    part          integer  NOT NULL,
    first_step    bigint   NOT NULL,
    last_step     bigint   NOT NULL,
    first_time_us bigint   NOT NULL,
    last_time_us  bigint   NOT NULL,
    points        integer  NOT NULL,
    min           float8   NOT NULL,
    max           float8   NOT NULL,
    last          float8   NOT NULL,
    steps         bytea    NOT NULL,
    times         bytea    NOT NULL,
    vals          bytea    NOT NULL
) PARTITION BY RANGE (day);
CREATE INDEX metric_chunk_by_series ON tracker.metric_chunk (run_id, metric, first_step);
ALTER TABLE tracker.metric_chunk ALTER COLUMN steps SET STORAGE EXTERNAL;
ALTER TABLE tracker.metric_chunk ALTER COLUMN times SET STORAGE EXTERNAL;
ALTER TABLE tracker.metric_chunk ALTER COLUMN vals SET STORAGE EXTERNAL;

CREATE TABLE tracker.metric_summary (
    run_id       uuid   NOT NULL,
    metric       text   NOT NULL,
    last         float8 NOT NULL,
    last_step    bigint NOT NULL,
    last_time_us bigint NOT NULL,
    min          float8 NOT NULL,
    max          float8 NOT NULL,
    points       bigint NOT NULL,
    PRIMARY KEY (run_id, metric)
) WITH (fillfactor = 70);
CREATE INDEX metric_summary_by_value ON tracker.metric_summary (metric, last, run_id);

CREATE TABLE tracker.log_chunk (
    run_id     uuid    NOT NULL,
    producer   uuid    NOT NULL,
    batch      bigint  NOT NULL,
    first_line bigint  NOT NULL,
    lines      integer NOT NULL,
    block      bytea   NOT NULL,
    PRIMARY KEY (run_id, producer, batch)
);
ALTER TABLE tracker.log_chunk ALTER COLUMN block SET STORAGE EXTERNAL;

-- Make the partition of a day, unless it is there.
CREATE FUNCTION tracker.ensure_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'metric_chunk_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    IF to_regclass('tracker.' || name) IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtext('tracker.ensure_day'));
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS tracker.%I PARTITION OF tracker.metric_chunk '
            'FOR VALUES FROM (%L) TO (%L)', name, wanted, wanted + 1);
    END IF;
END $$;
