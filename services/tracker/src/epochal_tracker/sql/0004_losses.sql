-- What was refused, what was hidden, what is to be deleted.

-- Batches that no table takes. Each is remembered in `batch` like any other, without points, so the
-- cursor moves and the producer can be sealed; here is why, until the log has been told.
CREATE TABLE tracker.refused_batch (
    run_id   uuid    NOT NULL,
    producer uuid    NOT NULL,
    batch    bigint  NOT NULL,
    run      text    NOT NULL,
    points   bigint  NOT NULL,
    lines    bigint  NOT NULL,
    reason   text    NOT NULL,
    told     boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, producer, batch)
);
CREATE INDEX refused_batch_untold ON tracker.refused_batch (run_id) WHERE NOT told;

-- Producers whose later points are hidden, and up to which batch summaries were made anew without.
CREATE TABLE tracker.truncated (
    run_id    uuid   NOT NULL,
    producer  uuid   NOT NULL,
    from_step bigint NOT NULL,
    batch     bigint NOT NULL,
    PRIMARY KEY (run_id, producer)
);

-- Objects that were deleted, and because of which event.
CREATE TABLE tracker.removed_object (
    sha256   bytea  PRIMARY KEY,
    position bigint NOT NULL
);

-- Make the partition of a day while none of the old ones is dropped.
CREATE FUNCTION tracker.ensure_old_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('tracker.drop_day'));
    PERFORM tracker.ensure_day(wanted);
END $$;

-- Give the space of a day back. The caller holds the lock that keeps others from writing into it.
CREATE FUNCTION tracker.drop_day(old date) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS tracker.%I',
                   'metric_chunk_' || to_char(old, 'YYYYMMDD'));
END $$;
