-- watched --
SELECT run_id, name, org_id, end_time, rules FROM watched WHERE run_id = ANY($1)

-- alerts --
SELECT run, rule, metric, number, position, project, severity, message, value, step, raise_time,
       resolve_time, resolution
  FROM alert
 WHERE (project = $1 OR run = $1) AND position < $2 AND ($3 OR resolve_time IS NULL)
 ORDER BY position DESC LIMIT $4

-- batches --
SELECT batch FROM tracker.batch
 WHERE run_id = $1 AND producer = $2 AND batch > $3 AND batch <= $4 ORDER BY batch LIMIT $5

-- chunks --
SELECT batch, metric, points, last_step, last_time_us, min, max, last, vals
  FROM tracker.metric_chunk
 WHERE run_id = $1 AND producer = $2 AND batch = ANY($3) ORDER BY batch, part

-- cursors --
SELECT p.run_id, p.producer, p.batch FROM watched w JOIN tracker.producer_cursor p USING (run_id)
 WHERE (w.end_time IS NULL OR w.end_time > $1)
   -- Of a fork's past nothing is judged again.
   AND ($2::bigint = 0 OR EXISTS (SELECT FROM log.event e WHERE e.category = 'run' AND e.stream_id = w.run_id
                             AND e.position > $2))
