-- Spans of traces: what applications send, by the step. A trace as a whole is an event; its spans
-- are telemetry, and never pass through the log.
CREATE TABLE tracker.span (
    project   text   COLLATE "C" NOT NULL,
    trace_id  text   COLLATE "C" NOT NULL,
    span_id   text   COLLATE "C" NOT NULL,
    parent_id text   COLLATE "C" NOT NULL,
    name      text   COLLATE "C" NOT NULL,
    type      text   COLLATE "C" NOT NULL,
    status    text   COLLATE "C" NOT NULL,
    start_ns  bigint NOT NULL,
    end_ns    bigint NOT NULL,
    otlp      bytea  NOT NULL,
    PRIMARY KEY (project, trace_id, span_id)
);
