-- Points that come by LogMetrics, from clients without a spool: the tracker is their producer.

-- Which request a batch came by, so that a retry is told from a new one.
ALTER TABLE tracker.batch ADD COLUMN request_id uuid;
CREATE UNIQUE INDEX batch_by_request ON tracker.batch (run_id, request_id)
    WHERE request_id IS NOT NULL;

-- The tracker's own producers of a run, one after the other. The row of the newest is locked by
-- whoever numbers a batch, so no two trackers give one number twice. A closed one takes no more and
-- is then sealed; points that come later begin the next generation.
CREATE TABLE tracker.server_producer (
    run_id     uuid        NOT NULL,
    generation integer     NOT NULL,
    producer   uuid        NOT NULL,
    batch      bigint      NOT NULL,
    touched    timestamptz NOT NULL,
    closed     boolean     NOT NULL,
    sealed     boolean     NOT NULL,
    PRIMARY KEY (run_id, generation)
) WITH (fillfactor = 70);
CREATE INDEX server_producer_unsealed ON tracker.server_producer (run_id) WHERE NOT sealed;

-- Number a batch for each request that was not served before; of the others no row is returned.
-- Locks what it numbers until the transaction ends: runs in one order, so no two wait in a circle.
CREATE FUNCTION tracker.claim_batches(
    runs uuid[], requests uuid[], digests bytea[], counts bigint[])
RETURNS TABLE (place bigint, producer uuid, batch bigint) LANGUAGE plpgsql AS $$
DECLARE
    one   uuid;
    known tracker.server_producer;
    fresh bigint[];
BEGIN
    FOR one IN SELECT DISTINCT r FROM unnest(runs) AS r ORDER BY r LOOP
        LOOP
            SELECT * INTO known FROM tracker.server_producer s WHERE s.run_id = one
             ORDER BY s.generation DESC LIMIT 1 FOR UPDATE;
            EXIT WHEN FOUND AND NOT known.closed;
            INSERT INTO tracker.server_producer
            VALUES (one, coalesce(known.generation, 0) + 1, gen_random_uuid(), 0,
                    clock_timestamp(), false, false)
            ON CONFLICT DO NOTHING;
        END LOOP;
        SELECT array_agg(w.place ORDER BY w.place) INTO fresh
          FROM unnest(runs, requests) WITH ORDINALITY AS w (run, request, place)
         WHERE w.run = one AND NOT EXISTS (
               SELECT FROM tracker.batch b WHERE b.run_id = one AND b.request_id = w.request);
        CONTINUE WHEN fresh IS NULL;
        UPDATE tracker.server_producer s
           SET batch = known.batch + cardinality(fresh), touched = clock_timestamp()
         WHERE s.run_id = one AND s.generation = known.generation;
        INSERT INTO tracker.batch (run_id, producer, batch, kind, points, lines, sha256, request_id)
        SELECT one, known.producer, known.batch + f.n, 1, counts[f.place], 0, digests[f.place],
               requests[f.place]
          FROM unnest(fresh) WITH ORDINALITY AS f (place, n);
        RETURN QUERY
        SELECT f.place, known.producer, known.batch + f.n
          FROM unnest(fresh) WITH ORDINALITY AS f (place, n);
    END LOOP;
END $$;
