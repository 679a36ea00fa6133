-- How far telemetry is archived: of one kind (1 points, 2 lines of output) all batches of a producer
-- up to one are in the object store, and the log says so. What is beyond is never deleted where
-- projects archive.
CREATE TABLE tracker.archive_cursor (
    run_id   uuid     NOT NULL,
    producer uuid     NOT NULL,
    kind     smallint NOT NULL CHECK (kind IN (1, 2)),
    batch    bigint   NOT NULL CHECK (batch >= 1),
    PRIMARY KEY (run_id, producer, kind)
);
