-- due --
-- Producers of runs that have ended, with batches that are sealed and not archived, or that are not
-- sealed at all and as old as what is deleted.
SELECT c.run_id, c.producer, coalesce(a.batch, 0), p.sealed_batch, p.sealed_root,
       r.end_time < $3::date
  FROM run r
  JOIN tracker.producer_cursor c USING (run_id)
  LEFT JOIN producer p USING (run_id, producer)
  LEFT JOIN tracker.archive_cursor a
    ON a.run_id = c.run_id AND a.producer = c.producer AND a.kind = $2
 WHERE r.project = $1 AND r.end_time IS NOT NULL
   AND NOT EXISTS (SELECT FROM purged_run g WHERE g.run_id = c.run_id)
   AND (coalesce(p.sealed_batch, 0) > coalesce(a.batch, 0)
        OR r.end_time < $3::date AND EXISTS (
           SELECT FROM tracker.batch b
            WHERE b.run_id = c.run_id AND b.producer = c.producer
              AND b.batch > coalesce(a.batch, 0)))
 ORDER BY r.end_time, c.run_id, c.producer LIMIT $4

-- leaves --
SELECT batch, sha256 FROM tracker.batch
 WHERE run_id = $1 AND producer = $2 AND batch > $3 AND batch <= $4 ORDER BY batch

-- points --
SELECT batch, metric, points, steps, times, vals, first_step, last_step, first_time_us,
       last_time_us, min, max, last, min_step, max_step
  FROM tracker.metric_chunk
 WHERE run_id = $1 AND producer = $2 AND batch > $3 AND batch <= $4 ORDER BY batch, part, day

-- lines --
SELECT batch, lines, first_line, block FROM tracker.log_chunk
 WHERE run_id = $1 AND producer = $2 AND batch > $3 AND batch <= $4 ORDER BY batch

-- advance --
INSERT INTO tracker.archive_cursor AS a (run_id, producer, kind, batch) VALUES ($1, $2, $3, $4)
ON CONFLICT (run_id, producer, kind) DO UPDATE SET batch = greatest(a.batch, EXCLUDED.batch)

-- purged --
-- Archives of runs that were purged, before it or since.
SELECT r.project, h.run_id, array_agg(h.sha256 ORDER BY h.sha256)
  FROM archive h JOIN purged_run g USING (run_id) JOIN run r USING (run_id)
 GROUP BY 1, 2 ORDER BY 1, 2 LIMIT $1

-- objects --
SELECT run_id, sha256, producer, kind, size_bytes, first_batch, last_batch, points, log_lines,
       sealed, tree_size, merkle_root, altered, archive_time, position
  FROM archive
 WHERE run_id = $1 AND position > $2 ORDER BY position LIMIT $3

-- object --
SELECT run_id, sha256, producer, kind, size_bytes, first_batch, last_batch, points, log_lines,
       sealed, tree_size, merkle_root, altered, archive_time, position
  FROM archive
 WHERE run_id = $1 AND sha256 = $2

-- restored_until --
SELECT until FROM restored_run WHERE run_id = $1

-- lock_restoring --
SELECT pg_try_advisory_xact_lock(hashtext('tracker.restore'), hashtext($1))

-- drop_points --
DELETE FROM tracker.metric_chunk WHERE run_id = $1 AND producer = $2 AND batch <= $3

-- drop_lines --
DELETE FROM tracker.log_chunk WHERE run_id = $1 AND producer = $2 AND batch <= $3

-- ensure_day --
SELECT tracker.ensure_old_day($1)

-- missing_cursor --
-- In a database that was made anew from the log nothing of a producer is known. Where it is known, a
-- gap in what came stays one: its producer may still send what is missing.
INSERT INTO tracker.producer_cursor (run_id, producer, batch) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING

-- missing_batches --
INSERT INTO tracker.batch (run_id, producer, batch, kind, points, lines, sha256)
SELECT $1, $2, b.batch, $3, b.points, b.lines, b.sha256
  FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
       AS b (batch, points, lines, sha256)
ON CONFLICT DO NOTHING

-- missing_summaries --
-- PostgreSQL orders NaN above every number: it is left out, unless there is nothing else.
WITH newest AS (
    SELECT DISTINCT ON (metric) metric, last, last_step, last_time_us
      FROM tracker.metric_chunk WHERE run_id = $1
     ORDER BY metric, last_step DESC, last_time_us DESC
), folded AS (
    SELECT metric, min(nullif(min, 'NaN')) AS least, max(nullif(max, 'NaN')) AS greatest,
           sum(points)::bigint AS points
      FROM tracker.metric_chunk WHERE run_id = $1 GROUP BY metric
)
INSERT INTO tracker.metric_summary
       (run_id, metric, last, last_step, last_time_us, min, max, points)
SELECT $1, metric, last, last_step, last_time_us, coalesce(least, 'NaN'),
       coalesce(greatest, 'NaN'), points
  FROM newest JOIN folded USING (metric)
ON CONFLICT DO NOTHING
