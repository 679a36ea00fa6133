-- Intents to deliver: written with the checkpoint, drained by workers. Not a read model: a replay
-- writes none, so history read again tells nobody anything.
CREATE SCHEMA IF NOT EXISTS notifier;

CREATE TABLE notifier.intent (
    delivery_id    uuid        PRIMARY KEY,
    project        text        NOT NULL,
    subscription   text        NOT NULL,
    occasion       integer     NOT NULL,
    run            text        NOT NULL,
    org_id         text        NOT NULL,
    cause_position bigint      NOT NULL,
    cause_event_id uuid        NOT NULL,
    correlation_id uuid        NOT NULL,
    message        text        NOT NULL,
    occurred_at    timestamptz NOT NULL,
    attempts       integer     NOT NULL DEFAULT 0,
    done           boolean     NOT NULL DEFAULT false,
    next_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX intent_due ON notifier.intent (next_at) WHERE NOT done;
CREATE INDEX intent_by_project ON notifier.intent (project, created_at DESC);
