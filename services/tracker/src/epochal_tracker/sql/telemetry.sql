-- cursor --
-- Two sinks that stored neighbouring batches at one moment may each have stopped short of the
-- other's: so reading the cursor moves it, as writing does.
INSERT INTO tracker.producer_cursor AS c (run_id, producer, batch)
SELECT p.run_id, p.producer, run.reached
  FROM unnest(ARRAY[$1::uuid], ARRAY[$2::uuid]) AS p (run_id, producer)
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
RETURNING batch

-- producer --
SELECT run_id, producer, epoch, opened, sealed_batch FROM producer
 WHERE run_id = $1 AND producer = $2

-- batches --
SELECT sha256, points, lines FROM tracker.batch
 WHERE run_id = $1 AND producer = $2 AND batch <= $3 ORDER BY batch

-- summaries --
SELECT metric, last, last_step, min, max, points, last_time_us
  FROM tracker.metric_summary
 WHERE run_id = $1 AND metric > $2 ORDER BY metric LIMIT $3

-- knows --
SELECT EXISTS (SELECT FROM tracker.metric_summary WHERE run_id = $1 AND metric = $2)

-- has_summaries --
SELECT EXISTS (SELECT FROM tracker.metric_summary WHERE run_id = $1)

-- summaries_of_runs --
SELECT run_id, metric, last, last_step, min, max, points, last_time_us
  FROM tracker.metric_summary
 WHERE run_id = ANY($1) ORDER BY run_id, metric

-- chunk_index --
SELECT day, producer, batch, part, first_step, last_step, points, t.from_step
  FROM tracker.metric_chunk LEFT JOIN truncation t USING (run_id, producer)
 WHERE run_id = $1 AND metric = $2 AND last_step >= $3 AND first_step <= $4
   AND (t.from_step IS NULL OR first_step < t.from_step)
 ORDER BY first_step, last_step, producer, batch, part

-- chunk --
SELECT points, first_step, last_step, first_time_us, last_time_us, last, steps, times, vals
  FROM tracker.metric_chunk
 WHERE run_id = $1 AND metric = $2 AND first_step = $3 AND day = $4 AND producer = $5
   AND batch = $6 AND part = $7

-- sampled --
-- Of each series the newest chunks, until they hold as many points as are wanted. Its summary tells
-- at once of a series that has nothing new.
SELECT w.place, c.points, c.first_step, c.last_step, c.last, c.steps, c.vals, c.from_step
  FROM unnest($1::uuid[], $2::text[], $3::bigint[]) WITH ORDINALITY
       AS w (run_id, metric, from_step, place)
  JOIN tracker.metric_summary s
    ON s.run_id = w.run_id AND s.metric = w.metric AND s.last_step >= w.from_step
 CROSS JOIN LATERAL (
       SELECT n.points, n.first_step, n.last_step, n.last, n.last_time_us, n.from_step,
              CASE WHEN n.points > 1 THEN n.steps END AS steps,
              CASE WHEN n.points > 1 THEN n.vals END AS vals,
              sum(n.points) OVER (ORDER BY n.last_step DESC, n.last_time_us DESC
                                  ROWS UNBOUNDED PRECEDING) - n.points AS newer
         FROM (SELECT m.points, m.first_step, m.last_step, m.last, m.last_time_us, m.steps,
                      m.vals, t.from_step
                 FROM tracker.metric_chunk m LEFT JOIN truncation t USING (run_id, producer)
                WHERE m.run_id = w.run_id AND m.metric = w.metric AND m.last_step >= w.from_step
                  AND (t.from_step IS NULL OR m.first_step < t.from_step)
                ORDER BY m.last_step DESC, m.last_time_us DESC LIMIT $4) AS n) AS c
 WHERE c.newer < $4
 ORDER BY w.place, c.last_step DESC, c.last_time_us DESC

-- points_archived --
SELECT max(archive_time) FROM archive
 WHERE run_id = $1 AND kind = 1 AND NOT EXISTS (
       SELECT FROM tracker.metric_chunk m WHERE m.run_id = $1 AND m.metric = $2)

-- output_archived --
SELECT max(archive_time) FROM archive
 WHERE run_id = $1 AND kind = 2 AND NOT EXISTS (
       SELECT FROM tracker.log_chunk l WHERE l.run_id = $1)

-- log_producers --
SELECT l.producer FROM tracker.log_chunk l
  LEFT JOIN producer p ON p.run_id = l.run_id AND p.producer = l.producer
 WHERE l.run_id = $1
 GROUP BY l.producer, p.opened ORDER BY coalesce(p.opened, 9223372036854775807), l.producer

-- log_chunks --
SELECT l.batch, l.block FROM tracker.log_chunk l
  JOIN tracker.producer_cursor c USING (run_id, producer)
 WHERE l.run_id = $1 AND l.producer = $2 AND l.batch >= $3 AND l.batch <= c.batch
 ORDER BY l.batch LIMIT $4

