-- What the scheduler keeps beside its read model: things to do, and who is alive.
CREATE SCHEMA IF NOT EXISTS scheduler;

-- One row per run and thing to be done about it. Written by reactors in the transaction that moves
-- the checkpoint, removed when a later event says it is done; done at least once, safe to do twice.
CREATE TABLE scheduler.task (
    kind text NOT NULL CHECK (kind IN ('release', 'publish', 'settle', 'retry')),
    run_id uuid NOT NULL,
    org_id text NOT NULL,
    name text NOT NULL,
    due_at timestamptz NOT NULL,
    since timestamptz NOT NULL,
    -- Where the work item is in the WORK stream, once it is published.
    sequence bigint,
    correlation_id uuid NOT NULL,
    causation_id uuid NOT NULL,
    traceparent text NOT NULL,
    PRIMARY KEY (run_id, kind)
);
CREATE INDEX task_by_due ON scheduler.task (due_at);

-- Attempts that an agent holds, and when it last said so. Not history: beats come every two seconds.
CREATE TABLE scheduler.lease (
    run_id uuid PRIMARY KEY,
    org_id text NOT NULL,
    name text NOT NULL,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    agent text NOT NULL,
    seen_at timestamptz NOT NULL
);
CREATE INDEX lease_by_seen ON scheduler.lease (seen_at);

CREATE TABLE scheduler.agent (
    name text PRIMARY KEY,
    queues text[] NOT NULL,
    free_slots integer NOT NULL,
    draining boolean NOT NULL,
    seen_at timestamptz NOT NULL
);
