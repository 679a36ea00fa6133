-- new_batches --
INSERT INTO tracker.batch (run_id, producer, batch, kind, points, lines, sha256)
SELECT DISTINCT ON (run_id, producer, batch) run_id, producer, batch, kind, points, lines, sha256
  FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[],
              $7::bytea[]) AS b (run_id, producer, batch, kind, points, lines, sha256)
 ORDER BY run_id, producer, batch
ON CONFLICT DO NOTHING
RETURNING run_id, producer, batch

-- ensure_day --
SELECT tracker.ensure_old_day($1)

-- refuse --
INSERT INTO tracker.refused_batch (run_id, producer, batch, run, points, lines, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING

-- summaries --
-- PostgreSQL orders NaN above every number: least() skips it, greatest() must be told to.
INSERT INTO tracker.metric_summary AS s
       (run_id, metric, last, last_step, last_time_us, min, max, points, loose)
SELECT * FROM (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::bigint[], $5::bigint[],
                         $6::float8[], $7::float8[], $8::bigint[], $9::integer[])
           AS n (run_id, metric, last, last_step, last_time_us, min, max, points, loose)
     ORDER BY run_id, metric) AS n
ON CONFLICT (run_id, metric) DO UPDATE SET
    last = CASE WHEN (EXCLUDED.last_step, EXCLUDED.last_time_us) >= (s.last_step, s.last_time_us)
                THEN EXCLUDED.last ELSE s.last END,
    last_time_us = CASE WHEN (EXCLUDED.last_step, EXCLUDED.last_time_us)
                             >= (s.last_step, s.last_time_us)
                        THEN EXCLUDED.last_time_us ELSE s.last_time_us END,
    last_step = greatest(s.last_step, EXCLUDED.last_step),
    min = least(s.min, EXCLUDED.min),
    max = CASE WHEN s.max = 'NaN' THEN EXCLUDED.max
               WHEN EXCLUDED.max = 'NaN' THEN s.max
               ELSE greatest(s.max, EXCLUDED.max) END,
    points = s.points + EXCLUDED.points,
    loose = s.loose + EXCLUDED.loose

-- advance --
INSERT INTO tracker.producer_cursor AS c (run_id, producer, batch)
SELECT p.run_id, p.producer, run.reached
  FROM unnest($1::uuid[], $2::uuid[]) AS p (run_id, producer)
  LEFT JOIN tracker.producer_cursor known USING (run_id, producer)
  CROSS JOIN LATERAL (
      SELECT coalesce(max(b.batch), coalesce(known.batch, 0)) AS reached
        FROM (SELECT batch, row_number() OVER (ORDER BY batch) AS place
                FROM tracker.batch
               WHERE run_id = p.run_id AND producer = p.producer
                 AND batch > coalesce(known.batch, 0)) AS b
       WHERE b.batch = coalesce(known.batch, 0) + b.place) AS run
 ORDER BY p.run_id, p.producer
ON CONFLICT (run_id, producer) DO UPDATE SET batch = greatest(c.batch, EXCLUDED.batch)
