-- claim_batches --
SELECT place, producer, batch
  FROM tracker.claim_batches($1::uuid[], $2::uuid[], $3::bytea[], $4::bigint[])

-- unsealed --
-- What may be sealed: of runs that have ended, producers that took nothing since, or nothing for a
-- while. What comes in after the end is then sealed in one piece and not point by point.
SELECT s.run_id, s.generation, s.producer, r.project
  FROM tracker.server_producer s JOIN run r USING (run_id)
 WHERE NOT s.sealed AND r.end_time IS NOT NULL
   AND (s.closed OR s.touched <= r.end_time
        OR s.touched < clock_timestamp() - $1::float8 * interval '1 second')
 ORDER BY s.run_id, s.generation LIMIT $2

-- close --
UPDATE tracker.server_producer SET closed = true WHERE run_id = $1 AND generation = $2
RETURNING batch

-- sealed --
UPDATE tracker.server_producer SET sealed = true WHERE run_id = $1 AND generation = $2
