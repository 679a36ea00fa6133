-- series --
-- The metrics of some runs that have one of the names or fit one of the patterns.
SELECT s.run_id, s.metric
  FROM unnest($1::uuid[]) WITH ORDINALITY AS w (run_id, place)
  JOIN tracker.metric_summary s USING (run_id)
 WHERE $2::text[] = '{}' OR s.metric = ANY($2) OR s.metric LIKE ANY($3::text[])
 ORDER BY w.place, s.metric LIMIT $4

-- archived --
SELECT DISTINCT run_id FROM archive WHERE run_id = ANY($1) AND kind = 1

-- outlines --
SELECT first_step, last_step, first_time_us, last_time_us, points, last, min, max,
       min_step, max_step, t.from_step
  FROM tracker.metric_chunk LEFT JOIN truncation t USING (run_id, producer)
 WHERE run_id = $1 AND metric = $2 AND last_step >= $3 AND first_step <= $4
   AND (t.from_step IS NULL OR first_step < t.from_step)
 ORDER BY first_step, last_step, producer, batch, part

-- whole --
SELECT points, first_step, last_step, first_time_us, last_time_us, last, steps, times, vals,
       t.from_step
  FROM tracker.metric_chunk LEFT JOIN truncation t USING (run_id, producer)
 WHERE run_id = $1 AND metric = $2 AND last_step >= $3 AND first_step <= $4
   AND (t.from_step IS NULL OR first_step < t.from_step)
 ORDER BY first_step, last_step, producer, batch, part

-- grown --
SELECT metric, points FROM tracker.metric_summary
 WHERE run_id = $1 AND ($2::text[] = '{}' OR metric = ANY($2) OR metric LIKE ANY($3::text[]))

-- news --
-- Chunks that a tail has not sent: of each producer only as far as all batches are there.
SELECT m.metric, m.producer, m.batch, m.part, m.points, m.first_step, m.last_step, m.first_time_us,
       m.last_time_us, m.last, m.steps, m.times, m.vals, t.from_step
  FROM tracker.metric_chunk m
  JOIN tracker.producer_cursor c USING (run_id, producer)
  LEFT JOIN truncation t USING (run_id, producer)
  LEFT JOIN unnest($3::uuid[], $4::bigint[], $5::integer[]) AS sent (producer, batch, part)
    ON sent.producer = m.producer
 WHERE m.run_id = $1 AND m.metric = ANY($2) AND m.batch <= c.batch
   AND (t.from_step IS NULL OR m.first_step < t.from_step)
   AND (m.batch, m.part) > (coalesce(sent.batch, 0), coalesce(sent.part, -1))
 ORDER BY m.producer, m.batch, m.part LIMIT $6

-- loose --
-- Where points are archived, only those of runs of which all is: the archive is of batches as they
-- came, and what is joined can no longer be told apart.
-- LATERAL, so that what is found of a run is remembered for all its series.
SELECT s.run_id, s.metric FROM tracker.metric_summary s
  LEFT JOIN LATERAL (
       SELECT true AS waits FROM run r
         JOIN retention k ON k.project = r.project
                         AND (k.metrics_archived OR k.system_metrics_archived)
         JOIN tracker.producer_cursor c ON c.run_id = r.run_id
         LEFT JOIN tracker.archive_cursor a
           ON a.run_id = c.run_id AND a.producer = c.producer AND a.kind = 1
        WHERE r.run_id = s.run_id AND coalesce(a.batch, 0) < c.batch LIMIT 1) AS g ON true
 WHERE s.loose >= 64 AND g.waits IS NULL
 ORDER BY s.loose DESC LIMIT $1

-- lock_series --
SELECT loose FROM tracker.metric_summary WHERE run_id = $1 AND metric = $2 FOR UPDATE

-- joinable --
-- Small chunks, those of the newest batches left out: a tail may be about to send them.
SELECT m.day, m.producer, m.batch, m.part, m.points, m.first_step, m.last_step, m.first_time_us,
       m.last_time_us, m.last, m.steps, m.times, m.vals
  FROM tracker.metric_chunk m JOIN tracker.producer_cursor c USING (run_id, producer)
 WHERE m.run_id = $1 AND m.metric = $2 AND m.points < $3 AND m.batch <= c.batch - $4
 ORDER BY m.day, m.producer, m.first_step, m.batch, m.part LIMIT $5

-- drop_joined --
DELETE FROM tracker.metric_chunk m
 USING unnest($3::date[], $4::uuid[], $5::bigint[], $6::integer[], $7::bigint[])
       AS g (day, producer, batch, part, first_step)
 WHERE m.run_id = $1 AND m.metric = $2 AND m.day = g.day AND m.producer = g.producer
   AND m.batch = g.batch AND m.part = g.part AND m.first_step = g.first_step

-- count_loose --
UPDATE tracker.metric_summary SET loose = $3 WHERE run_id = $1 AND metric = $2
